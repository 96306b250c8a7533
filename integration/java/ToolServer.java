import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.ByteArrayInputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.locks.LockSupport;
import org.apache.kafka.common.utils.Exit;

/**
 * Runs command-line tools one after another in this one JVM, so that each does not pay for a start of its own.
 *
 * <p>A request on standard input is a count of strings (the main class and its arguments), the strings and the bytes of
 * the tool's standard input, each with a four byte length. The answer on standard output is a row of frames: a byte
 * (1 standard output, 2 standard error, 0 the end), a length and the data, which for the end is the exit code.
 *
 * <p>The jars given as arguments are loaded anew for each run: static fields of a tool begin as they do in a new JVM.
 */
public final class ToolServer {
    /** One of a tool's two output streams; both write frames to the same pipe. */
    private static final class Frames extends OutputStream {
        private final DataOutputStream pipe;
        private final int kind;

        private Frames(DataOutputStream pipe, int kind) {
            this.pipe = pipe;
            this.kind = kind;
        }

        @Override
        public void write(int value) throws IOException {
            write(new byte[] {(byte) value}, 0, 1);
        }

        @Override
        public void write(byte[] data, int start, int length) throws IOException {
            synchronized (pipe) {
                pipe.writeByte(kind);
                pipe.writeInt(length);
                pipe.write(data, start, length);
            }
        }
    }

    private static final List<Runnable> HOOKS = new ArrayList<>();
    private static CompletableFuture<Integer> ended = new CompletableFuture<>();

    public static void main(String[] jars) throws Exception {
        List<URL> urls = new ArrayList<>();
        for (String jar : jars) {
            urls.add(Path.of(jar).toUri().toURL());
        }
        DataInputStream requests = new DataInputStream(new BufferedInputStream(System.in));
        DataOutputStream pipe =
                new DataOutputStream(new BufferedOutputStream(new FileOutputStream(FileDescriptor.out), 1 << 16));
        // As after a real exit, nothing of the tool goes on in the thread that asked for it.
        Exit.Procedure end = (code, message) -> {
            ended.complete(code);
            while (true) {
                LockSupport.park();
            }
        };
        Exit.setExitProcedure(end);
        Exit.setHaltProcedure(end);
        Exit.setShutdownHookAdder((name, hook) -> {
            synchronized (HOOKS) {
                HOOKS.add(hook);
            }
        });
        while (true) {
            String[] command = new String[requests.readInt()];
            for (int index = 0; index < command.length; index++) {
                command[index] = new String(requests.readNBytes(requests.readInt()), StandardCharsets.UTF_8);
            }
            System.setIn(new ByteArrayInputStream(requests.readNBytes(requests.readInt())));
            System.setOut(new PrintStream(new BufferedOutputStream(new Frames(pipe, 1), 8192), true));
            System.setErr(new PrintStream(new BufferedOutputStream(new Frames(pipe, 2), 8192), true));
            int code = run(urls, command);
            System.out.flush();
            System.err.flush();
            synchronized (pipe) {
                pipe.writeByte(0);
                pipe.writeInt(4);
                pipe.writeInt(code);
                pipe.flush();
            }
        }
    }

    private static int run(List<URL> urls, String[] command) throws Exception {
        HOOKS.clear();
        ended = new CompletableFuture<>();
        int code = inThread(urls, () -> {
            ClassLoader loader = Thread.currentThread().getContextClassLoader();
            String[] args = Arrays.copyOfRange(command, 1, command.length);
            Class.forName(command[0], true, loader).getMethod("main", String[].class).invoke(null, (Object) args);
            return null;
        });
        List<Runnable> hooks;
        synchronized (HOOKS) {
            hooks = List.copyOf(HOOKS);
        }
        ended = new CompletableFuture<>();
        inThread(urls, () -> {
            hooks.forEach(Runnable::run);
            return null;
        });
        return code;
    }

    /** Returns the exit code when the work is done or asked for the end. Exceptions end a JVM with 1. */
    private static int inThread(List<URL> urls, Callable<Void> work) throws Exception {
        CompletableFuture<Integer> done = ended;
        Thread thread = new Thread(() -> {
            try {
                work.call();
                done.complete(0);
            } catch (Throwable thrown) {
                (thrown instanceof InvocationTargetException ? thrown.getCause() : thrown).printStackTrace();
                done.complete(1);
            }
        }, "main");
        thread.setContextClassLoader(new URLClassLoader(urls.toArray(new URL[0]), ToolServer.class.getClassLoader()));
        thread.setDaemon(true);
        thread.start();
        return done.get();
    }
}

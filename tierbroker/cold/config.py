"""The keys of the object store, and what they come to.

Where it is and how it is reached; what goes there and when is decided by the topics' own keys,
which are Kafka's. Endpoint, region and credentials that are not set here come from where AWS's
own tools look: the environment, the shared configuration files, the machine's role.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from tierbroker.base.config import ConfigKey, ConfigType, ConfigValue, ConfigValues, between, one_of
from tierbroker.base.errors import InvalidConfigError

MIB = 1024 * 1024
SMALLEST_PART_BYTES = 5 * MIB
"""S3 takes no smaller part but the last one."""
LARGEST_PUT_BYTES = 5 * 1024 * MIB
MOST_PARTS = 10_000

SCHEMES = ("s3", "file", "memory")


def _check_url(value: ConfigValue) -> None:
    if value:
        split_url(str(value))


COLD_KEYS: tuple[ConfigKey, ...] = (
    ConfigKey(
        "cold.url",
        ConfigType.STRING,
        None,
        "The object store of the cold tier: s3://bucket/prefix, file:///directory, or memory:// "
        "for a broker that keeps nothing. Topics cannot be tiered while it is not set.",
        validate=_check_url,
    ),
    ConfigKey(
        "cold.threads",
        ConfigType.INT,
        "4",
        "Threads that read what is uploaded, compute checksums and wait for the store.",
        validate=between(1, 1000),
    ),
    ConfigKey(
        "cold.request.timeout.ms",
        ConfigType.INT,
        "30000",
        "How long one request to the store may take, without the time for what it carries: for "
        "that comes as long as 256 KiB/s would take.",
        validate=between(100),
    ),
    ConfigKey(
        "cold.multipart.threshold.bytes",
        ConfigType.LONG,
        str(64 * MIB),
        "Objects of up to this size are uploaded in one request, whole in memory; larger ones in "
        "parts.",
        validate=between(0, LARGEST_PUT_BYTES),
    ),
    ConfigKey(
        "cold.multipart.part.bytes",
        ConfigType.LONG,
        str(8 * MIB),
        "The size of a part; an object has 10,000 at most, and larger parts where it would have "
        "more.",
        validate=between(SMALLEST_PART_BYTES, LARGEST_PUT_BYTES),
    ),
    ConfigKey(
        "cold.inflight.max.bytes",
        ConfigType.LONG,
        str(128 * MIB),
        "Memory for everything on its way to and from the store; further requests wait. Uploads "
        "leave a quarter of it to reads.",
        validate=between(8 * MIB),
    ),
    ConfigKey(
        "cold.unfinished.max.age.ms",
        ConfigType.LONG,
        str(24 * 3_600_000),
        "Uploads that were begun longer ago than this and never ended are removed from the store: "
        "their parts cost. Looked for four times in that time. Never less than twice "
        "tier.upload.timeout.ms.",
        validate=between(1000),
    ),
    ConfigKey(
        "cold.s3.endpoint",
        ConfigType.STRING,
        None,
        "Address of an S3-compatible store, http(s)://host:port; AWS_ENDPOINT_URL_S3 or "
        "AWS_ENDPOINT_URL of the environment when not set, then Amazon's.",
    ),
    ConfigKey(
        "cold.s3.region",
        ConfigType.STRING,
        None,
        "Region of the bucket; AWS_REGION or AWS_DEFAULT_REGION of the environment when not set, "
        "then us-east-1.",
    ),
    ConfigKey(
        "cold.s3.access.key.id",
        ConfigType.STRING,
        None,
        "Access key. When not set, credentials come from the environment, the shared AWS files, "
        "a web identity, or the role of the container or machine.",
    ),
    ConfigKey(
        "cold.s3.secret.access.key",
        ConfigType.PASSWORD,
        None,
        "Secret of the access key.",
        sensitive=True,
    ),
    ConfigKey(
        "cold.s3.session.token",
        ConfigType.PASSWORD,
        None,
        "Token that temporary access keys come with.",
        sensitive=True,
    ),
    ConfigKey(
        "cold.s3.profile",
        ConfigType.STRING,
        None,
        "Profile of the shared AWS files to take credentials from.",
    ),
    ConfigKey(
        "cold.s3.path.style",
        ConfigType.BOOLEAN,
        None,
        "Whether the bucket stands in the path of a request (true) or in its host name. When not "
        "set: in the path with an endpoint, in the host name with Amazon's.",
    ),
    ConfigKey(
        "cold.s3.allow.http",
        ConfigType.BOOLEAN,
        "false",
        "Whether the endpoint may be an http:// address of another machine. Everything is "
        "readable on the way then.",
    ),
    ConfigKey(
        "cold.s3.ca.file",
        ConfigType.STRING,
        None,
        "PEM file with further authorities to trust, for an endpoint with a private certificate.",
    ),
    ConfigKey(
        "cold.s3.checksum",
        ConfigType.STRING,
        "crc64nvme",
        "The checksum that the store is given with each upload, verifies and keeps: crc64nvme, or "
        "none for a store that knows no such header (it still verifies a SHA-256 of each request).",
        validate=one_of("crc64nvme", "none"),
    ),
    ConfigKey(
        "cold.s3.storage.class",
        ConfigType.STRING,
        None,
        "Storage class of segment objects, e.g. STANDARD_IA; the bucket's own when not set. Small "
        "objects that are read and replaced often always have the bucket's own.",
    ),
    ConfigKey(
        "cold.s3.server.side.encryption",
        ConfigType.STRING,
        None,
        "Encryption by the store: AES256, aws:kms or aws:kms:dsse; the bucket's own when not set.",
    ),
    ConfigKey(
        "cold.s3.kms.key.id",
        ConfigType.STRING,
        None,
        "Key for encryption with aws:kms; the account's default key when not set.",
    ),
)


@dataclass(frozen=True, slots=True)
class StoreUrl:
    """The pieces of a store's address."""

    scheme: str
    place: str
    """The bucket of s3://, the directory of file://."""
    prefix: str
    """Of s3://, without slashes around it."""


def split_url(url: str) -> StoreUrl:
    """Take the address apart; ValueError says what is wrong and how it should look."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in SCHEMES:
        raise ValueError(
            f"{url!r} is no address of an object store; write s3://bucket/prefix, "
            "file:///directory or memory://"
        )
    if "?" in rest or "#" in rest or "@" in rest:
        raise ValueError(f"{url!r}: endpoint and credentials have settings of their own")
    if scheme == "s3":
        bucket, _, prefix = rest.partition("/")
        prefix = prefix.strip("/")
        if not bucket:
            raise ValueError(f"{url!r} names no bucket; write s3://bucket/prefix")
        if any(part in ("", ".", "..") for part in prefix.split("/")) and prefix:
            raise ValueError(f"{url!r}: the prefix has empty parts")
        return StoreUrl(scheme, bucket, prefix)
    if scheme == "file":
        if not rest.startswith("/") or not rest.strip("/"):
            raise ValueError(f"{url!r} is no absolute directory; write file:///directory")
        return StoreUrl(scheme, rest.rstrip("/"), "")
    if rest:
        raise ValueError(f"{url!r}: a store in memory has no name; write memory://")
    return StoreUrl(scheme, "", "")


@dataclass(frozen=True, slots=True)
class TransferLimits:
    """How objects travel."""

    timeout_ms: int = 30_000
    multipart_threshold_bytes: int = 64 * MIB
    part_bytes: int = 8 * MIB
    inflight_max_bytes: int = 128 * MIB

    @classmethod
    def from_values(cls, values: ConfigValues) -> "TransferLimits":
        """As set."""
        return cls(
            timeout_ms=values.integer("cold.request.timeout.ms"),
            multipart_threshold_bytes=values.integer("cold.multipart.threshold.bytes"),
            part_bytes=values.integer("cold.multipart.part.bytes"),
            inflight_max_bytes=values.integer("cold.inflight.max.bytes"),
        )


@dataclass(frozen=True, slots=True)
class S3Settings:
    """How a bucket is reached. `repr` shows no secret."""

    bucket: str
    prefix: str
    endpoint: str | None
    """None: Amazon's own of the region."""
    region: str
    path_style: bool
    access_key_id: str | None = None
    secret_access_key: str | None = None
    session_token: str | None = None
    profile: str | None = None
    ca_file: str | None = None
    checksum: bool = True
    storage_class: str | None = None
    server_side_encryption: str | None = None
    kms_key_id: str | None = None

    def __repr__(self) -> str:
        return f"S3Settings({self.url!r}, endpoint={self.endpoint!r}, region={self.region!r})"

    @property
    def url(self) -> str:
        """The store's address, as in cold.url."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    @property
    def is_plain_http(self) -> bool:
        """Whether requests travel unencrypted between machines."""
        scheme, _, host = (self.endpoint or "https://").partition("://")
        return scheme == "http" and not _is_loopback(host)

    @property
    def base_url(self) -> str:
        """Where requests to the bucket go: scheme, host, and the path up to the key."""
        endpoint = self.endpoint or f"https://s3.{self.region}.amazonaws.com"
        if self.path_style:
            return f"{endpoint}/{self.bucket}"
        scheme, _, host = endpoint.partition("://")
        return f"{scheme}://{self.bucket}.{host}"

    @classmethod
    def from_values(
        cls, url: StoreUrl, values: ConfigValues, env: Mapping[str, str]
    ) -> "S3Settings":
        """As set, completed from AWS's variables; raises InvalidConfigError."""
        endpoint = values.text("cold.s3.endpoint") or _first(
            env, "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"
        )
        if endpoint is not None:
            endpoint = _checked_endpoint(endpoint, values.flag("cold.s3.allow.http"))
        path_style = values["cold.s3.path.style"]
        key_id = values.text("cold.s3.access.key.id")
        secret = values.text("cold.s3.secret.access.key")
        if (key_id is None) != (secret is None):
            raise InvalidConfigError(
                "cold.s3.access.key.id and cold.s3.secret.access.key belong together: set both "
                "or none"
            )
        profile = values.text("cold.s3.profile")
        if key_id is not None and profile is not None:
            raise InvalidConfigError(
                "cold.s3.profile and cold.s3.access.key.id both say where credentials come from: "
                "set one of them"
            )
        return cls(
            bucket=url.place,
            prefix=url.prefix,
            endpoint=endpoint,
            region=values.text("cold.s3.region")
            or _first(env, "AWS_REGION", "AWS_DEFAULT_REGION")
            or "us-east-1",
            path_style=endpoint is not None if path_style is None else bool(path_style),
            access_key_id=key_id,
            secret_access_key=secret,
            session_token=values.text("cold.s3.session.token"),
            profile=profile,
            ca_file=values.text("cold.s3.ca.file"),
            checksum=values.text("cold.s3.checksum") != "none",
            storage_class=values.text("cold.s3.storage.class"),
            server_side_encryption=values.text("cold.s3.server.side.encryption"),
            kms_key_id=values.text("cold.s3.kms.key.id"),
        )


def _first(env: Mapping[str, str], *names: str) -> str | None:
    return next((env[name] for name in names if env.get(name)), None)


def _checked_endpoint(endpoint: str, allow_http: bool) -> str:
    scheme, separator, host = endpoint.partition("://")
    if not separator or scheme not in ("http", "https") or not host.strip("/"):
        raise InvalidConfigError(
            f"cold.s3.endpoint: {endpoint!r} is no address; write https://host or http://host:port"
        )
    if scheme == "http" and not (allow_http or _is_loopback(host)):
        raise InvalidConfigError(
            f"cold.s3.endpoint: {endpoint} is not encrypted; write https://, or set "
            "cold.s3.allow.http=true if nobody can listen in between"
        )
    return endpoint.rstrip("/")


def _is_loopback(host: str) -> bool:
    return host.startswith(("127.", "localhost:", "[::1]")) or host == "localhost"

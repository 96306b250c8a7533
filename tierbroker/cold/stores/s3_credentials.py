"""Where access keys come from: the settings, or where AWS's own tools look for them.

AWS's runtime library does the looking: environment, shared files with profiles and assumed roles,
single sign-on, web identities, the roles of containers and machines. It renews what expires.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from tierbroker.base.clock import Clock
from tierbroker.cold.config import S3Settings

if TYPE_CHECKING:
    from obstore.store import S3Credential

LOOKUP_TIMEOUT_S = 20.0
KEEP_S = 300.0
"""How long keys are used before they are asked for again, unless they expire sooner."""


class NoCredentialsError(Exception):
    """No access key was found anywhere, or the service that gives them fails."""


class S3Credentials:
    """Access keys that are current whenever they are asked for. Any thread may ask."""

    def __init__(self, settings: S3Settings, clock: Clock) -> None:
        from awscrt import auth

        self._clock = clock
        self.fixed = settings.access_key_id is not None
        """The keys stand in the settings and never change."""
        if self.fixed:
            self.provider: Any = auth.AwsCredentialsProvider.new_static(
                settings.access_key_id, settings.secret_access_key, settings.session_token
            )
            self._what = "cold.s3.access.key.id"
        elif settings.profile is not None:
            from awscrt import io

            self.provider = auth.AwsCredentialsProvider.new_profile(
                io.ClientBootstrap.get_or_create_static_default(),
                profile_name=settings.profile,
            )
            self._what = f"the profile {settings.profile} (cold.s3.profile)"
        else:
            self.provider = auth.AwsCredentialsProvider.new_default_chain()
            self._what = "the environment, the shared AWS files, and this machine's role"

    def lookup(self) -> "S3Credential":
        """The keys, with the moment they are to be asked for again; blocks.

        Raises NoCredentialsError.
        """
        try:
            found = self.provider.get_credentials().result(LOOKUP_TIMEOUT_S)
        except Exception as error:
            raise NoCredentialsError(
                f"no credentials from {self._what}: {error or type(error).__name__}. Set "
                "cold.s3.access.key.id and cold.s3.secret.access.key, or cold.s3.profile"
            ) from error
        now = datetime.fromtimestamp(self._clock.now_ms() / 1000, UTC)
        again = now + timedelta(seconds=KEEP_S)
        if found.expiration is not None and not self.fixed:
            again = min(again, found.expiration)
        return {
            "access_key_id": found.access_key_id,
            "secret_access_key": found.secret_access_key,
            "token": found.session_token,
            "expires_at": again,
        }


CredentialLookup = Callable[[], "S3Credential"]

"""A Django project that knows nothing of its mail server but host and port."""
import os

SECRET_KEY = "only for tests"
INSTALLED_APPS = ["samples"]
DEFAULT_FROM_EMAIL = "Shop <noreply@app.test>"
USE_TZ = True

EMAIL_HOST = "127.0.0.1"
EMAIL_PORT = int(os.environ["EMAIL_PORT"])
EMAIL_TIMEOUT = 15
EMAIL_HOST_USER = os.environ.get("EMAIL_HOST_USER", "")
EMAIL_HOST_PASSWORD = os.environ.get("EMAIL_HOST_PASSWORD", "")

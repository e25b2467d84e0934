# Deconv Lab on a server, CPU only. Build and run:
#
#   docker build -t deconv-lab .
#   docker run --rm -p 8501:8501 -v deconv-lab:/data deconv-lab
#
# Everything it needs at run time is in the image; it asks no other machine for anything.
FROM python:3.12-slim

ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1

WORKDIR /app
COPY requirements.txt .
RUN pip install --no-cache-dir -r requirements.txt

COPY .streamlit .streamlit
COPY app.py README.md CHANGELOG.md LICENSE ./
COPY deconv_core deconv_core
COPY pages pages

# The program belongs to root and is only read; what it makes goes to /data.
RUN useradd --create-home --uid 10001 deconv && mkdir /data && chown deconv:deconv /data
USER deconv
VOLUME /data

# .streamlit/config.toml serves this machine alone. Inside a container "this machine" is the container, so these two open
# it; narrow the second one to the name the dashboard is reached under: -e STREAMLIT_SERVER_ALLOWED_HOSTS=lab.example.org
# Without a browser address Streamlit would ask a machine on the internet for its own, to print it at the start.
# No folder of the server can be opened in a page unless DECONV_DATA_ROOTS names it; here it names none.
ENV DECONV_HOME=/data \
    DECONV_DATA_ROOTS= \
    STREAMLIT_SERVER_ADDRESS=0.0.0.0 \
    STREAMLIT_SERVER_ALLOWED_HOSTS=* \
    STREAMLIT_SERVER_HEADLESS=true \
    STREAMLIT_BROWSER_SERVER_ADDRESS=localhost

EXPOSE 8501
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://localhost:8501/_stcore/health', timeout=4)"]
CMD ["streamlit", "run", "app.py", "--server.port=8501"]

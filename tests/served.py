"""A small server on this machine that counts what it is asked, and archives to serve."""

import io
import tarfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def archive(content):
    """Bytes of a .tar.gz with these members."""
    with tarfile.open(fileobj=(out := io.BytesIO()), mode="w:gz") as t:
        for name, data in content.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            t.addfile(info, io.BytesIO(data))
    return out.getvalue()


class Served:
    """Serves `files` (name → bytes) and keeps what it was asked.

    `slow` seconds pass in the middle of an answer, and with `breaks` the answer ends there."""

    def __init__(self, slow=0.0, breaks=False):
        self.files, self.asked = {}, []
        served = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                name = self.path.strip("/")
                served.asked.append(name)
                data = served.files[name]
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data[: len(data) // 2])
                self.wfile.flush()
                time.sleep(slow)
                if not breaks:
                    self.wfile.write(data[len(data) // 2 :])

            def log_message(self, *args):
                """Nothing is written to the terminal."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        """Stop and free the port."""
        self.server.shutdown()
        self.server.server_close()

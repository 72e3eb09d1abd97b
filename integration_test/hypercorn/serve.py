# An application in Hypercorn, as Debian ships it. It says what it was asked, and
# which user it believes to serve. Hypercorn speaks HTTP/2 after an upgrade from
# HTTP/1.1 (h2c), without being told to.
import asyncio
import json
import socket
import sys

from hypercorn.asyncio import serve
from hypercorn.config import Config


async def app(scope, receive, send):
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        event = await receive()
        if event["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": "heard " + event["text"]})
        await send({"type": "websocket.close"})
        return
    if scope["type"] != "http":
        return
    headers = dict(scope["headers"])
    user = headers.get(b"x-user", b"nobody").decode()
    body = f"{scope['method']} {scope['path']} by {user}".encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", str(len(body)).encode())]})
    await send({"type": "http.response.body", "body": body})


async def main():
    listener = socket.create_server(("127.0.0.1", 0))
    config = Config()
    config.bind = [f"fd://{listener.fileno()}"]
    print(json.dumps({"url": f"http://127.0.0.1:{listener.getsockname()[1]}"}), flush=True)
    await serve(app, config, shutdown_trigger=lambda: asyncio.to_thread(sys.stdin.read))


asyncio.run(main())

"""The bench application on python-socketio and uvicorn; see ../README.md."""

import argparse
import importlib.metadata
import platform

import socketio
import uvicorn

parser = argparse.ArgumentParser()
parser.add_argument("--host", default="127.0.0.1")
parser.add_argument("--port", type=int, default=3000)
parser.add_argument("--version", action="store_true")
flags = parser.parse_args()

if flags.version:
    names = ("python-socketio", "uvicorn", "uvloop", "websockets")
    libraries = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)
    print(f"{libraries}, Python {platform.python_version()}")
    raise SystemExit

io = socketio.AsyncServer(async_mode="asgi")


@io.event
async def echo(sid, *args):
    return args


@io.event
async def join(sid, room):
    await io.enter_room(sid, room)
    return ()


@io.event
async def room(sid, name, payload):
    await io.emit("room", payload, room=name)


@io.event
async def bcast(sid, payload):
    await io.emit("b", payload)


@io.event
async def burst(sid, n, payload):
    for i in range(n):
        await io.emit("b", (i, payload))


uvicorn.run(
    socketio.ASGIApp(io),
    host=flags.host,
    port=flags.port,
    access_log=False,
    log_level="warning",
    loop="uvloop",
    http="httptools",
)

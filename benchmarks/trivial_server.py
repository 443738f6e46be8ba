"""A FastAPI route that reads a request's body and answers, served with the predictor's settings."""

from __future__ import annotations

import socket
from typing import Any, cast

import uvicorn
from fastapi import FastAPI, Request, Response

from services.predictor.server import DRAIN_SECONDS
from services.web.server import config

app = FastAPI()


@app.post("/predict")
@app.post("/v2/models/{model:path}/infer")
async def predict(request: Request) -> Response:
    return Response(b'{"bytes":%d}' % len(await request.body()), media_type="application/json")


if __name__ == "__main__":
    listener = socket.create_server(("127.0.0.1", 0))
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    uvicorn.Server(config(cast(Any, app), DRAIN_SECONDS)).run(sockets=[listener])

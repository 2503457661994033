"""JSON-RPC over HTTP: one keep-alive connection, one call or batch at a time."""

import http.client
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import orjson

from node.client.endpoint import Endpoint
from node.client.errors import BadAnswer, CallRefused, ConnectionLost, unreachable
from node.rpc.json_types import Json

TIMEOUT = 60.0
"""Seconds that an answer may take."""
ANSWER_BYTES_MAX = 64 << 20
_HUNG_UP = (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError)
_TOO_MANY_REQUESTS = 429


class HttpClient:
    """Calls to one node. Not for several threads at once."""

    def __init__(self, endpoint: Endpoint, timeout: float = TIMEOUT) -> None:
        """Connect with the first call, not before."""
        self.endpoint = endpoint
        tls = endpoint.tls()
        self._connection: http.client.HTTPConnection = (
            http.client.HTTPConnection(endpoint.host, endpoint.port, timeout=timeout)
            if tls is None
            else http.client.HTTPSConnection(
                endpoint.host, endpoint.port, timeout=timeout, context=tls
            )
        )

    def call(self, method: str, *parameters: Json) -> Json:
        """Return the result of one call.

        Raises: NodeUnreachable, ConnectionLost, BadAnswer, CallRefused.
        """
        answer = self._post(orjson.dumps(_request(method, parameters, 0)))
        return result_of(method, answer)

    def call_many(self, calls: Sequence[tuple[str, Sequence[Json]]]) -> list[Json]:
        """Return the results of several calls made in one batch, in their order.

        Raises: as ``call``, for the first that fails.
        """
        results = self.try_many(calls)
        for result in results:
            if isinstance(result, CallRefused):
                raise result
        return [result for result in results if not isinstance(result, CallRefused)]

    def try_many(self, calls: Sequence[tuple[str, Sequence[Json]]]) -> list[Json | CallRefused]:
        """Return what came of each of several calls made in one batch, in their order.

        Raises: NodeUnreachable, ConnectionLost, BadAnswer; CallRefused for the whole batch.
        """
        if not calls:
            return []
        requests = [_request(method, given, at) for at, (method, given) in enumerate(calls)]
        answers = self._post(orjson.dumps(requests))
        if isinstance(answers, dict):
            # A batch that is refused as a whole gets one response.
            result_of("batch", answers)
        if not isinstance(answers, list) or len(answers) != len(calls):
            raise BadAnswer("the answer to a batch is not one response a call")
        by_id = {item.get("id"): item for item in answers if isinstance(item, dict)}
        return [_outcome_of(method, by_id.get(at)) for at, (method, _) in enumerate(calls)]

    def close(self) -> None:
        """Close the connection; a later call opens it again."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _post(self, body: bytes) -> Json:
        response = self._ask(body)
        try:
            data = response.read(ANSWER_BYTES_MAX + 1)
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise ConnectionLost(f"{self.endpoint.url} stopped in the middle") from error
        if len(data) > ANSWER_BYTES_MAX:
            self._connection.close()
            raise BadAnswer(f"the answer is longer than {ANSWER_BYTES_MAX} bytes")
        if response.length:
            self._connection.close()
            raise ConnectionLost(f"{self.endpoint.url} stopped in the middle")
        return self._parsed(response.status, data)

    def _ask(self, body: bytes) -> http.client.HTTPResponse:
        # A kept connection may have been closed by the node while nothing was said on it.
        attempts = 1 if self._connection.sock is None else 2
        while True:
            attempts -= 1
            try:
                return self._send(body)
            except _HUNG_UP as error:
                self._connection.close()
                if attempts == 0:
                    raise ConnectionLost(f"{self.endpoint.url} closed the connection") from error

    def _send(self, body: bytes) -> http.client.HTTPResponse:
        connection = self._connection
        try:
            if connection.sock is None:
                connection.connect()
        except OSError as error:
            raise unreachable(self.endpoint.url, error.strerror or str(error)) from error
        headers = {"Content-Type": "application/json"}
        try:
            connection.request("POST", self.endpoint.path, body, headers)
            return connection.getresponse()
        except _HUNG_UP:
            raise
        except TimeoutError as error:
            connection.close()
            raise ConnectionLost(f"{self.endpoint.url} gave no answer in time") from error
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise BadAnswer(f"{self.endpoint.url} does not speak HTTP") from error

    def _parsed(self, status: int, data: bytes) -> Json:
        if status == _TOO_MANY_REQUESTS:
            raise CallRefused("HTTP", status, "the node is asked too often, try again later")
        try:
            answer: Json = orjson.loads(data)
        except ValueError:
            raise BadAnswer(
                f"{self.endpoint.url} answered HTTP {status} without JSON: is it a LooPIN node?"
            ) from None
        return answer


def result_of(method: str, answer: Json) -> Json:
    """Return the result in a JSON-RPC response. Raises: CallRefused, BadAnswer."""
    if not isinstance(answer, dict):
        raise BadAnswer(f"the answer to {method} is no JSON-RPC response")
    error = answer.get("error")
    if isinstance(error, dict):
        code, message = error.get("code"), error.get("message")
        raise CallRefused(
            method,
            code if isinstance(code, int) else 0,
            message if isinstance(message, str) else "no reason given",
            error.get("data"),
        )
    if "result" not in answer:
        raise BadAnswer(f"the answer to {method} has neither result nor error")
    return answer["result"]


def _outcome_of(method: str, answer: Json) -> Json | CallRefused:
    try:
        return result_of(method, answer)
    except CallRefused as refused:
        return refused


def _request(method: str, parameters: Sequence[Json], number: int) -> Json:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": list(parameters)}

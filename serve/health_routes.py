"""Is it alive, and may data come: for load balancers, without a key."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Response

from serve.answers import json_answer
from serve.context import ContextDep
from serve.models import Liveness, Readiness
from serve.problem_examples import problem_responses
from serve.problems import ProblemError, not_ready

router: Final = APIRouter(tags=["operation"])


@router.get("/healthz", summary="Is it alive?", response_model=Liveness)
async def healthz() -> Response:
    """200 as long as this replica answers at all."""
    return json_answer({"status": "alive"})


@router.get("/readyz", summary="May data come?", response_model=Readiness, responses=problem_responses("not-ready"))
async def readyz(context: ContextDep) -> Response:
    """200 when frames can be accepted durably, 503 with the reasons until then."""
    state = await context.platform.ready()
    if not state["ready"]:
        raise ProblemError(not_ready(list(state["reasons"])))
    return json_answer({"ready": True, "reasons": list(state["reasons"])})

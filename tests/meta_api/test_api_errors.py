"""The error table: every row, every sample, and the words a person reads."""

import json
import pickle
from pathlib import Path

import pytest

from meta_ads_pipeline.meta_api.error_rules import (
    ERROR_RULES,
    UNKNOWN_ERROR,
    Action,
    ErrorKind,
    rule_for,
)
from meta_ads_pipeline.meta_api.errors import AUTH_SUBCODES, MetaApiError, error_from_envelope

A, P, R, V, D, T = (
    ErrorKind.AUTH,
    ErrorKind.PERMISSION,
    ErrorKind.RATE_LIMIT,
    ErrorKind.INVALID,
    ErrorKind.TOO_MUCH_DATA,
    ErrorKind.TRANSIENT,
)
GONE = "(#100) Tried accessing nonexisting field (x_y) on node type (AdAccount)"
BAD_FIELD = "(#100) cpp is not valid for fields param. please check https://x for all valid values"
UNSUPPORTED = (
    "Unsupported get request. Object with ID '5' does not exist, cannot be loaded due to missing "
    "permissions, or does not support this operation."
)

# (code, subcode, message, HTTP status, is_transient) -> name of the row, kind, action
CASES = [
    ((2635, None, "deprecated version", 400, False), "version_expired", V, Action.UPGRADE_VERSION),
    (
        (2642, None, "(#2642) Invalid cursors values", 400, False),
        "bad_cursor",
        T,
        Action.RESTART_PAGING,
    ),
    ((190, None, "", 400, False), "token_dead", A, Action.STOP_CONNECTION),
    ((190, 463, "", 401, False), "token_dead", A, Action.STOP_CONNECTION),
    ((102, None, "", 400, False), "token_dead", A, Action.STOP_CONNECTION),
    (
        (100, None, "Invalid appsecret_proof provided in the API argument", 400, False),
        "app_secret_proof",
        A,
        Action.STOP_CONNECTION,
    ),
    (
        (100, None, "API calls from the server require an appsecret_proof argument", 400, False),
        "app_secret_proof",
        A,
        Action.STOP_CONNECTION,
    ),
    *(
        ((code, None, text, 400, False), "app_credentials", A, Action.STOP_CONNECTION)
        for code, text in (
            (1, "Error validating client secret."),
            (101, "Error validating application. Invalid application ID."),
            (100, "Invalid client_id: 123"),
            (101, "Missing client_id parameter."),
        )
    ),
    ((101, None, "odd", 400, False), "app_credentials_code", A, Action.STOP_CONNECTION),
    (
        (1, None, "Error validating access token: Session has expired on ..", 400, False),
        "token_dead_text",
        A,
        Action.STOP_CONNECTION,
    ),
    (
        (None, None, "Invalid OAuth 2.0 Access Token", 400, False),
        "token_dead_text",
        A,
        Action.STOP_CONNECTION,
    ),
    ((200, None, "API access blocked.", 400, False), "app_blocked", A, Action.STOP_CONNECTION),
    ((368, 1390008, "", 400, False), "blocked_as_abusive", A, Action.STOP_CONNECTION),
    (
        (1, None, "Please reduce the amount of data you're asking for", 500, False),
        "reduce_data",
        D,
        Action.SHRINK,
    ),
    ((1, 99, "An unknown error occurred", 500, False), "too_large_1_99", D, Action.SHRINK),
    (
        (100, 1487534, "(#100) Invalid parameter", 400, False),
        "too_large_100_1487534",
        D,
        Action.SHRINK,
    ),
    ((-3, 1504045, "", 500, False), "too_large_3_1504045", D, Action.SHRINK),
    ((100, 1504018, "", 400, False), "too_large_100_1504018", D, Action.SHRINK),
    ((2, 1504038, "", 500, True), "too_large_2_1504038", D, Action.SHRINK),
    ((-2, 2490547, "", 500, False), "too_large_2_2490547", D, Action.SHRINK),
    ((2, 1504041, "", 400, False), "report_parameters", V, Action.FIX_REQUEST),
    ((2, 1504042, "", 400, False), "report_parameters", V, Action.FIX_REQUEST),
    ((3, None, "", 400, False), "missing_permission", P, Action.SKIP_ACCOUNT),
    ((10, None, "", 403, False), "missing_permission", P, Action.SKIP_ACCOUNT),
    ((200, None, "", 403, False), "missing_permission", P, Action.SKIP_ACCOUNT),
    ((270, None, "", 400, False), "missing_permission", P, Action.SKIP_ACCOUNT),
    ((273, None, "", 400, False), "missing_permission", P, Action.SKIP_ACCOUNT),
    ((294, None, "", 400, False), "missing_permission", P, Action.SKIP_ACCOUNT),
    ((299, None, "", 400, False), "missing_permission", P, Action.SKIP_ACCOUNT),
    ((100, 3191001, "", 400, False), "missing_permission_100", P, Action.SKIP_ACCOUNT),
    (
        (100, None, "(#100) Missing permissions", 400, False),
        "missing_permission_text",
        P,
        Action.SKIP_ACCOUNT,
    ),
    ((4, None, "", 403, True), "rate_limit", R, Action.WAIT),
    ((4, 1504022, "", 403, False), "rate_limit", R, Action.WAIT),
    ((17, 2446079, "", 400, True), "rate_limit", R, Action.WAIT),
    ((32, None, "", 400, False), "rate_limit", R, Action.WAIT),
    ((613, 1487742, "", 400, False), "rate_limit", R, Action.WAIT),
    ((80000, None, "", 400, False), "rate_limit", R, Action.WAIT),
    ((80004, 2446079, "", 400, False), "rate_limit", R, Action.WAIT),
    ((80014, 2446079, "", 400, False), "rate_limit", R, Action.WAIT),
    ((None, None, "", 429, False), "rate_limit_status", R, Action.WAIT),
    ((100, None, GONE, 400, False), "field_gone_1", V, Action.DROP_FIELD),
    ((100, None, BAD_FIELD, 400, False), "field_gone_2", V, Action.DROP_FIELD),
    ((415, 1404120, "", 400, False), "two_factor", P, Action.SKIP_ACCOUNT),
    ((10, 2859009, "Zwei-Faktor", 400, False), "two_factor_subcode", P, Action.SKIP_ACCOUNT),
    (
        (100, None, "nonexisting field (adaccounts) on node type (Page)", 400, False),
        "token_of_no_person",
        A,
        Action.STOP_CONNECTION,
    ),
    (
        (100, None, "nonexisting field (account_status) on node type (Business)", 400, False),
        "id_of_another_kind",
        P,
        Action.SKIP_ACCOUNT,
    ),
    ((100, 33, UNSUPPORTED, 400, False), "not_found", P, Action.MARK_UNREACHABLE),
    ((100, None, UNSUPPORTED, 400, False), "not_found_text", P, Action.MARK_UNREACHABLE),
    ((803, None, "", 404, False), "alias_not_found", V, Action.MARK_UNREACHABLE),
    (
        (100, None, "(#100) Cannot include impressions in summary param", 400, False),
        "flaky_report",
        T,
        Action.RETRY,
    ),
    ((2601, 1815107, "", 400, True), "report_not_ready", T, Action.RETRY),
    (
        (104, None, "An access token is required to request this resource.", 401, False),
        "token_missing",
        A,
        Action.STOP_CONNECTION,
    ),
    (
        (2500, None, "An active access token must be used to query information", 400, False),
        "token_missing",
        A,
        Action.STOP_CONNECTION,
    ),
    ((1, None, "An unknown error occurred", 500, False), "transient", T, Action.RETRY),
    ((2, None, "(#2) Service temporarily unavailable", 400, True), "transient", T, Action.RETRY),
    ((2, 1504043, "", 400, False), "transient", T, Action.RETRY),
    ((2, 1504044, "", 400, False), "transient", T, Action.RETRY),
    ((960, None, "", 400, False), "transient", T, Action.RETRY),
    ((341, None, "", 400, False), "transient", T, Action.RETRY),
    ((104, None, "", 400, False), "transient", T, Action.RETRY),
    ((None, None, "", 502, False), "server_error", T, Action.RETRY),
    ((100, None, "odd", 503, False), "server_error", T, Action.RETRY),
    ((3018, None, "", 400, False), "history_limit", V, Action.FIX_REQUEST),
    ((99999, None, "", 400, True), "flagged_transient", T, Action.RETRY),
    (
        (100, None, "(#100) param time_range must be non-empty.", 400, False),
        "invalid_parameter",
        V,
        Action.FIX_REQUEST,
    ),
    ((2500, None, "", 400, False), "invalid_parameter", V, Action.FIX_REQUEST),
    ((None, None, "", 401, False), "unauthorized", A, Action.STOP_CONNECTION),
]


@pytest.mark.parametrize(("error", "name", "kind", "action"), CASES)
def test_row(error: tuple, name: str, kind: ErrorKind, action: Action) -> None:
    rule = rule_for(*error)
    assert (rule.name, rule.kind, rule.action) == (name, kind, action)


def test_every_row_has_a_case_and_says_what_to_do() -> None:
    assert {rule.name for rule in ERROR_RULES} == {name for _, name, _, _ in CASES}
    assert len({rule.name for rule in ERROR_RULES}) == len(ERROR_RULES)
    for rule in ERROR_RULES:
        assert len(rule.explanation) > 10
        assert rule.advice.endswith(".")


def test_an_unknown_code_is_not_retried() -> None:
    assert rule_for(424242, None, "?", 400) is UNKNOWN_ERROR
    assert UNKNOWN_ERROR.kind is ErrorKind.INVALID


EXPECTED_SAMPLES = {
    "01": R, "02": R, "03": R, "04": R, "05": D, "06": D, "07": T,
    "08": T, "09": P, "10": V, "11": V, "12": V, "13": A, "14": A,
}  # fmt: skip


def test_observed_errors(samples: Path) -> None:
    """Bodies that the API really sent, each with the kind a person would give it."""
    seen = {}
    for file in sorted((samples / "errors").glob("*.json")):
        sample = json.loads(file.read_text())
        error = error_from_envelope(
            sample["body"]["error"], http_status=sample["http_status"], what="GET x"
        )
        seen[file.stem] = error.kind
        assert sample["body"]["error"]["message"] in error.message
        assert error.rule is not UNKNOWN_ERROR, file
    assert seen == EXPECTED_SAMPLES


@pytest.mark.parametrize("subcode", sorted(AUTH_SUBCODES))
def test_an_auth_error_explains_its_subcode_and_names_the_fix(subcode: int) -> None:
    error = error_from_envelope(
        {"code": 190, "error_subcode": subcode, "message": "m", "fbtrace_id": "Ax"},
        http_status=400,
        what="GET act_1/ads",
    )
    text = str(error)
    assert AUTH_SUBCODES[subcode] in text
    assert "meta-ads connect" in text
    assert "META_ACCESS_TOKEN" in text
    assert "\n" not in text
    assert all(part in text for part in ("GET act_1/ads", "190", str(subcode), "Ax"))


def test_numbers_as_text_and_missing_members_are_read() -> None:
    error = error_from_envelope({"code": "17", "error_subcode": "2446079"}, http_status=400)
    assert (error.kind, error.code, error.subcode) == (R, 17, 2446079)
    assert error_from_envelope("broken", http_status=400).kind is V
    assert error_from_envelope({}, http_status=500).kind is T


def test_a_code_that_is_only_in_the_text_counts() -> None:
    error = error_from_envelope({"message": "(#17) User request limit reached"}, http_status=400)
    assert (error.kind, error.code) == (R, 17)
    told = error_from_envelope({"message": "(#17) odd", "code": 190}, http_status=400)
    assert (told.kind, told.code) == (A, 190)


def test_blamed_names() -> None:
    assert error_from_envelope({"code": 100, "message": GONE}).blamed == ("x_y",)
    assert error_from_envelope({"code": 100, "message": BAD_FIELD}).blamed == ("cpp",)
    specs = {"code": 100, "message": "m", "error_data": {"blame_field_specs": [["filtering"]]}}
    assert error_from_envelope(specs).blamed == ("filtering",)


def test_an_error_survives_pickling() -> None:
    error = error_from_envelope({"code": 190, "message": "m"}, what="GET me", http_status=400)
    again = pickle.loads(pickle.dumps(error))
    assert isinstance(again, MetaApiError)
    assert str(again) == str(error)

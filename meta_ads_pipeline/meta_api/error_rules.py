"""What can go wrong at Meta, in one table: code, subcode, text -> kind, action, words.

The table follows Meta's "Handle errors" and "Marketing API error codes" pages and what clients of
the API have met in production. Most errors come with HTTP 400, so code and subcode decide; text is
used only where Meta gives nothing else. The first row that matches wins.
"""

from __future__ import annotations

import re

from meta_ads_pipeline.meta_api.error_kinds import Action, ErrorKind, ErrorRule

__all__ = ["ERROR_RULES", "FIELD_PATTERNS", "Action", "ErrorKind", "ErrorRule", "rule_for"]

_CONNECT_AGAIN = "Give a new access token: `meta-ads connect`, or META_ACCESS_TOKEN."
_ASK_ACCESS = "Give its user or system user access to the ad account in Business settings."
_SPLIT = "The client repeats the request in smaller pieces: fewer rows a page, then fewer days."
_AGAIN = "The client tries again with growing pauses; if it lasts, see metastatus.com."

FIELD_PATTERNS = (
    re.compile(r"nonexisting field \((\w+)\)"),
    re.compile(
        r"(?:\(#\d+\) )?(\w+(?:(?:,| and|, and) \w+)*) (?:is|are) not valid for fields param"
    ),
)
"""Texts about fields that Meta does not have; the group holds the names."""

_NOT_ADS = r"(?i)nonexisting field \(\w+\) on node type \((page|business|application|user|group)\)"

ERROR_RULES: tuple[ErrorRule, ...] = (
    ErrorRule(
        "version_expired",
        ErrorKind.INVALID,
        Action.UPGRADE_VERSION,
        "this version of the Marketing API has been switched off",
        "Set META_API_VERSION to a current version.",
        codes=(2635,),
    ),
    ErrorRule(
        "two_factor",
        ErrorKind.PERMISSION,
        Action.SKIP_ACCOUNT,
        "the business that owns this demands two-factor authentication, which the token's person "
        "has not passed",
        "The person passes it once at business.facebook.com and connects again, or a system "
        "user's token takes the place of theirs: `meta-ads connect`.",
        codes=(415,),
    ),
    ErrorRule(
        "two_factor_subcode",
        ErrorKind.PERMISSION,
        Action.SKIP_ACCOUNT,
        "the business that owns this demands two-factor authentication, which the token's person "
        "has not passed",
        "The person passes it once at business.facebook.com and connects again, or a system "
        "user's token takes the place of theirs: `meta-ads connect`.",
        subcodes=(1404120, 2859009),
    ),
    ErrorRule(
        "token_of_no_person",
        ErrorKind.AUTH,
        Action.STOP_CONNECTION,
        "this is a Page's token (or an app's or a business's): it reads no ad accounts",
        "Connect with the token of a person or a system user: `meta-ads connect`.",
        pattern=re.compile(r"(?i)nonexisting field \((adaccounts|permissions)\)"),
    ),
    ErrorRule(
        "id_of_another_kind",
        ErrorKind.PERMISSION,
        Action.SKIP_ACCOUNT,
        "this id is not an ad account's but a business's, a Page's or a person's",
        "Give the ad account's own id (Ads Manager > account menu) in META_AD_ACCOUNT_IDS.",
        pattern=re.compile(_NOT_ADS),
    ),
    ErrorRule(
        "bad_cursor",
        ErrorKind.TRANSIENT,
        Action.RESTART_PAGING,
        "Meta no longer knows the paging cursor",
        "The client starts the list again from its first page.",
        codes=(2642,),
    ),
    ErrorRule(
        "token_dead",
        ErrorKind.AUTH,
        Action.STOP_CONNECTION,
        "Meta refuses the access token",
        _CONNECT_AGAIN,
        codes=(190, 102),
    ),
    ErrorRule(
        "app_secret_proof",
        ErrorKind.AUTH,
        Action.STOP_CONNECTION,
        "Meta refuses the app secret proof",
        "META_APP_SECRET must belong to the app that issued the token; an app that requires the "
        "proof needs META_APP_SECRET to be set.",
        codes=(100,),
        pattern=re.compile(r"(?i)appsecret_proof"),
    ),
    ErrorRule(
        # Code 1 otherwise passes by itself: a wrong secret would be tried again for ever.
        "app_credentials",
        ErrorKind.AUTH,
        Action.STOP_CONNECTION,
        "Meta refuses the app's id or secret",
        "Check META_APP_ID and META_APP_SECRET (App dashboard > Settings > Basic).",
        pattern=re.compile(
            r"(?i)error validating (client secret|application)|(invalid|missing) client_(id|secret)"
            r"|invalid (application|app) id"
        ),
    ),
    ErrorRule(
        "app_credentials_code",
        ErrorKind.AUTH,
        Action.STOP_CONNECTION,
        "Meta refuses the app's id or secret",
        "Check META_APP_ID and META_APP_SECRET (App dashboard > Settings > Basic).",
        codes=(101,),
    ),
    ErrorRule(
        "token_dead_text",
        ErrorKind.AUTH,
        Action.STOP_CONNECTION,
        "Meta refuses the access token",
        _CONNECT_AGAIN,
        pattern=re.compile(
            r"(?i)error validating access token|^invalid oauth( 2\.0)? access token"
        ),
    ),
    ErrorRule(
        "app_blocked",
        ErrorKind.AUTH,
        Action.STOP_CONNECTION,
        "Meta has switched off the app's access to the API",
        "Look for a notice in the app dashboard.",
        codes=(10, 200),
        pattern=re.compile(r"(?i)api access (is )?(blocked|deactivated|disabled)"),
    ),
    ErrorRule(
        "blocked_as_abusive",
        ErrorKind.AUTH,
        Action.STOP_CONNECTION,
        "Meta has blocked this app or person for behaviour it deems abusive",
        "Stop calling; look for a notice in the app dashboard and in Business Support.",
        codes=(368,),
    ),
    ErrorRule(
        "reduce_data",
        ErrorKind.TOO_MUCH_DATA,
        Action.SHRINK,
        "the response would be too large",
        _SPLIT,
        pattern=re.compile(r"(?i)reduce the amount of data"),
    ),
    *(
        ErrorRule(
            name,
            ErrorKind.TOO_MUCH_DATA,
            Action.SHRINK,
            "the report is too large",
            _SPLIT,
            codes=(code,),
            subcodes=(subcode,),
        )
        for name, code, subcode in (
            ("too_large_1_99", 1, 99),
            ("too_large_100_1487534", 100, 1487534),
            ("too_large_3_1504045", -3, 1504045),
            ("too_large_100_1504018", 100, 1504018),
            ("too_large_2_1504038", 2, 1504038),
            ("too_large_2_2490547", -2, 2490547),
        )
    ),
    ErrorRule(
        "report_parameters",
        ErrorKind.INVALID,
        Action.FIX_REQUEST,
        "Meta cannot make this report from these parameters",
        "Check level, breakdown, fields and dates.",
        codes=(2,),
        subcodes=(1504041, 1504042),
    ),
    ErrorRule(
        "missing_permission",
        ErrorKind.PERMISSION,
        Action.SKIP_ACCOUNT,
        "the token may not read this",
        f"{_ASK_ACCESS} The app needs the ads_read permission.",
        codes=(3, 10, range(200, 300)),
    ),
    ErrorRule(
        "missing_permission_100",
        ErrorKind.PERMISSION,
        Action.SKIP_ACCOUNT,
        "the token may not read this",
        _ASK_ACCESS,
        codes=(100,),
        subcodes=(3191001,),
    ),
    ErrorRule(
        "rate_limit",
        ErrorKind.RATE_LIMIT,
        Action.WAIT,
        "Meta's limit on calls is reached",
        "The client waits as long as Meta says; fewer accounts at once or a larger sync interval "
        "keep it from coming back.",
        codes=(4, 17, 32, 613, range(80000, 80015)),
    ),
    ErrorRule(
        "rate_limit_status",
        ErrorKind.RATE_LIMIT,
        Action.WAIT,
        "too many requests",
        "The client waits, then tries again.",
        statuses=(429,),
    ),
    *(
        ErrorRule(
            f"field_gone_{number}",
            ErrorKind.INVALID,
            Action.DROP_FIELD,
            "Meta does not have this field (any more)",
            "The rest is read without it. Nothing is lost but the column.",
            codes=(100,),
            pattern=pattern,
        )
        for number, pattern in enumerate(FIELD_PATTERNS, 1)
    ),
    ErrorRule(
        "not_found",
        ErrorKind.PERMISSION,
        Action.MARK_UNREACHABLE,
        "it does not exist, or the token may not see it",
        "Check the id (an ad account's, not a business's); if it is right, give the token's user "
        "access in Business settings.",
        codes=(100,),
        subcodes=(33,),
    ),
    ErrorRule(
        "not_found_text",
        ErrorKind.PERMISSION,
        Action.MARK_UNREACHABLE,
        "it does not exist, or the token may not see it",
        "Check the id; if it is right, give the token's user access in Business settings.",
        codes=(100,),
        pattern=re.compile(r"(?i)^(\(#100\) )?unsupported get request"),
    ),
    ErrorRule(
        "missing_permission_text",
        ErrorKind.PERMISSION,
        Action.SKIP_ACCOUNT,
        "the token may not read this",
        _ASK_ACCESS,
        codes=(100,),
        pattern=re.compile(
            r"(?i)missing perm|(insufficient|without|lacks?) (the )?permission"
            r"|(not|n't) have (the |sufficient |enough )*(permission|access|rights)"
            r"|not authori[sz]ed|permission denied"
        ),
    ),
    ErrorRule(
        "alias_not_found",
        ErrorKind.INVALID,
        Action.MARK_UNREACHABLE,
        "nothing has this id or name",
        "Check the id.",
        codes=(803,),
    ),
    ErrorRule(
        "flaky_report",
        ErrorKind.TRANSIENT,
        Action.RETRY,
        "Meta refused a summary that it accepts at other times",
        _AGAIN,
        codes=(100,),
        pattern=re.compile(r"(?i)cannot include .* in summary param"),
    ),
    ErrorRule(
        "report_not_ready",
        ErrorKind.TRANSIENT,
        Action.RETRY,
        "the report is not ready or could not be loaded",
        _AGAIN,
        codes=(2601,),
    ),
    ErrorRule(
        "token_missing",
        ErrorKind.AUTH,
        Action.STOP_CONNECTION,
        "Meta saw no access token",
        _CONNECT_AGAIN,
        codes=(104, 2500),
        pattern=re.compile(r"(?i)access token (is required|must be used)"),
    ),
    ErrorRule(
        "transient",
        ErrorKind.TRANSIENT,
        Action.RETRY,
        "Meta failed for a moment",
        _AGAIN,
        codes=(1, 2, 960, 341, 104),
    ),
    ErrorRule(
        "server_error",
        ErrorKind.TRANSIENT,
        Action.RETRY,
        "Meta failed for a moment",
        _AGAIN,
        statuses=(range(500, 600),),
    ),
    ErrorRule(
        "history_limit",
        ErrorKind.INVALID,
        Action.FIX_REQUEST,
        "the start date is further back than Meta keeps",
        "Totals go back 37 months, hours 13 months: choose a later start.",
        codes=(3018,),
    ),
    ErrorRule(
        "flagged_transient",
        ErrorKind.TRANSIENT,
        Action.RETRY,
        "Meta failed for a moment",
        _AGAIN,
        flagged_transient=True,
    ),
    ErrorRule(
        "invalid_parameter",
        ErrorKind.INVALID,
        Action.FIX_REQUEST,
        "Meta refuses the request",
        "The request itself must change; the text above names what.",
        codes=(100, 2500),
    ),
    ErrorRule(
        "unauthorized",
        ErrorKind.AUTH,
        Action.STOP_CONNECTION,
        "Meta refuses the access token",
        _CONNECT_AGAIN,
        statuses=(401,),
    ),
)

UNKNOWN_ERROR = ErrorRule(
    "unknown",
    ErrorKind.INVALID,
    Action.FIX_REQUEST,
    "an error of Meta's that this client does not know",
    "Look the code up in Meta's error reference.",
)
BAD_RESPONSE = ErrorRule(
    "bad_response",
    ErrorKind.TRANSIENT,
    Action.RETRY,
    "the response was not the JSON that the Graph API sends",
    "If it lasts, check META_GRAPH_URL and what stands between (proxy, firewall).",
)
NETWORK = ErrorRule(
    "network",
    ErrorKind.TRANSIENT,
    Action.RETRY,
    "no response from the Graph API",
    "Check the network and META_GRAPH_URL.",
)
UNTRUSTED = ErrorRule(
    "certificate_untrusted",
    ErrorKind.INVALID,
    Action.FIX_REQUEST,
    "the host's TLS certificate is not trusted here",
    "Behind a proxy that inspects TLS, name the company's CA file (PEM): "
    "META_CA_BUNDLE=/path/to/ca.pem, or SSL_CERT_FILE.",
)
BAD_CA_BUNDLE = ErrorRule(
    "ca_bundle_missing",
    ErrorKind.INVALID,
    Action.FIX_REQUEST,
    "the CA file cannot be read",
    "META_CA_BUNDLE, REQUESTS_CA_BUNDLE or SSL_CERT_FILE must name a PEM file.",
)
ENDLESS_LIST = ErrorRule(
    "endless_list",
    ErrorKind.INVALID,
    Action.FIX_REQUEST,
    "Meta's list does not end",
    "What came is kept and nothing is taken for missing. If it lasts, report it to Meta with the "
    "account and the edge.",
)
REDIRECT = ErrorRule(
    "redirect",
    ErrorKind.INVALID,
    Action.FIX_REQUEST,
    "the host redirects, which the Graph API never does",
    "Check META_GRAPH_URL: scheme, host and port.",
)
UNEXPECTED_ROWS = ErrorRule(
    "unexpected_rows",
    ErrorKind.INVALID,
    Action.FIX_REQUEST,
    "the response does not fit the request",
    "Nothing of it was kept. Please report this with the API version.",
)
REPORTS_LATE = ErrorRule(
    "reports_late",
    ErrorKind.TRANSIENT,
    Action.RETRY,
    "the asynchronous reports were not finished in time",
    "Run the same command again: it reads the reports that were started.",
)
REPORT_FAILED = ErrorRule(
    "report_failed",
    ErrorKind.TRANSIENT,
    Action.RETRY,
    "an asynchronous report failed, twice, and cannot be made smaller",
    _AGAIN,
)

CALLS_HELD = ErrorRule(
    "calls_held",
    ErrorKind.RATE_LIMIT,
    Action.PARK,
    "the budget for calls is spent for longer than this client waits",
    "It is tried again later by itself; `meta-ads status` shows what is blocked.",
)
CALLS_HELD_BRIEFLY = ErrorRule(
    "calls_held_briefly",
    ErrorKind.RATE_LIMIT,
    Action.PARK,
    "the budget for calls is spent, so no call was made",
    "Run the same command again then; `meta-ads status` shows what is blocked.",
)


def rule_for(
    code: int | None,
    subcode: int | None = None,
    message: str = "",
    http_status: int | None = None,
    is_transient: bool = False,
) -> ErrorRule:
    """The row of the table for an error that Meta reported."""
    for rule in ERROR_RULES:
        if rule.matches(code, subcode, message, http_status, is_transient):
            return rule
    return UNKNOWN_ERROR

"""The same errors in other words: other languages, error data as a JSON text."""

from __future__ import annotations

import json
import re

from meta_graph_simulator.faults.fault import Fault
from meta_graph_simulator.faults.kind import FaultKind
from meta_graph_simulator.graph.call import GraphCall
from meta_graph_simulator.graph.errors import REDUCE_DATA, GraphError

# What is said in each language: too much data, no permission, no such object, anything else.
_LANGUAGES: dict[str, tuple[str, str, str, str]] = {
    "es": (
        "Reduce la cantidad de datos que solicitas y vuelve a intentarlo",
        "Faltan permisos",
        "El objeto no existe o no se puede cargar",
        "Parámetro no válido",
    ),
    "de": (
        "Bitte reduziere die Menge der angeforderten Daten und versuche es noch einmal",
        "Fehlende Berechtigungen",
        "Das Objekt existiert nicht oder kann nicht geladen werden",
        "Ungültiger Parameter",
    ),
    "fr": (
        "Réduisez la quantité de données demandées, puis réessayez",
        "Autorisations manquantes",
        "L’objet n’existe pas ou ne peut pas être chargé",
        "Paramètre non valide",
    ),
    "ja": (
        "リクエストするデータの量を減らしてから、もう一度お試しください",
        "アクセス許可がありません",
        "オブジェクトが存在しないか、読み込めません",
        "無効なパラメーターです",
    ),
    "tr": (
        "Lütfen istediğiniz veri miktarını azaltıp tekrar deneyin",
        "İzinler eksik",
        "Nesne mevcut değil veya yüklenemiyor",
        "Geçersiz parametre",
    ),
}


class LocalizedErrors(FaultKind):
    """Error texts come in the language of the token's person unless the call says
    ``locale=en_US``; codes stay, and names of fields in the text do.
    """

    name = "localized_errors"
    params = {
        "language": f"{', '.join(_LANGUAGES)}; es",
        "ignore_locale": "true: even with locale=en_US",
    }

    def reword(self, fault: Fault, call: GraphCall, error: GraphError) -> GraphError | None:
        english = call.params.get("locale", "").startswith("en")
        if english and not fault.params.get("ignore_locale"):
            return None
        too_much, permission, missing, other = _LANGUAGES[str(fault.params.get("language", "es"))]
        text = other
        if error.message == REDUCE_DATA or error.subcode == 1487534:
            text = too_much
        elif "perm" in error.message.lower():
            text = permission
        elif "does not exist" in error.message:
            text = missing
        names = re.findall(r"\b[a-z]+(?:_[a-z0-9]+)+\b", error.message)
        prefix = re.match(r"\(#\d+\) ", error.message)
        worded = (prefix.group() if prefix else "") + text
        if names:
            worded += f": {', '.join(names)}"
        return error.changed(message=worded, user_title=None, user_msg=None)


class ErrorDataText(FaultKind):
    """``error_data`` is a JSON text instead of an object."""

    name = "error_data_text"

    def reword(self, fault: Fault, call: GraphCall, error: GraphError) -> GraphError | None:
        if not isinstance(error.error_data, dict):
            return None
        return error.changed(error_data=json.dumps(error.error_data))

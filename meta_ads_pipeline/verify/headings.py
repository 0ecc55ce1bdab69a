"""The headings of an Ads Manager export, by language, and what each of them is here."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

MEASURES = ("spend", "impressions", "clicks", "link_clicks", "purchases", "revenue", "leads")
AMOUNTS = frozenset({"spend", "revenue"})
WHOLE = frozenset({"impressions", "clicks", "link_clicks"})
"""Measures that are whole numbers; conversions may be modelled fractions."""

# Several spellings: Meta has renamed columns over the years and per product ("Ads Reporting").
_HEADINGS: dict[str, dict[str, tuple[str, ...]]] = {
    "en": {
        "account_name": ("Account name", "Ad account name"),
        "account_id": ("Account ID", "Ad account ID"),
        "campaign_name": ("Campaign name",),
        "campaign_id": ("Campaign ID",),
        "adset_name": ("Ad set name",),
        "adset_id": ("Ad set ID",),
        "ad_name": ("Ad name",),
        "ad_id": ("Ad ID",),
        "day": ("Day", "Date"),
        "starts": ("Reporting starts", "Reporting start"),
        "ends": ("Reporting ends", "Reporting end"),
        "currency": ("Currency",),
        "spend": ("Amount spent",),
        "impressions": ("Impressions",),
        "clicks": ("Clicks (all)",),
        "link_clicks": ("Link clicks",),
        "purchases": ("Purchases",),
        "revenue": ("Purchases conversion value", "Purchase conversion value"),
        "leads": ("Leads",),
        "results": ("Results",),
    },
    "de": {
        "account_name": ("Kontoname", "Name des Werbekontos"),
        "account_id": ("Konto-ID", "Werbekonto-ID"),
        "campaign_name": ("Kampagnenname", "Name der Kampagne"),
        "campaign_id": ("Kampagnen-ID",),
        "adset_name": ("Anzeigengruppenname", "Name der Anzeigengruppe"),
        "adset_id": ("Anzeigengruppen-ID", "ID der Anzeigengruppe"),
        "ad_name": ("Anzeigenname", "Name der Anzeige"),
        "ad_id": ("Anzeigen-ID", "ID der Anzeige"),
        "day": ("Tag", "Datum"),
        "starts": ("Berichtsbeginn", "Berichtsstart", "Auswertungsbeginn"),
        "ends": ("Berichtsende", "Auswertungsende"),
        "currency": ("Währung",),
        "spend": ("Ausgegebener Betrag",),
        "impressions": ("Impressionen",),
        "clicks": ("Klicks (alle)",),
        "link_clicks": ("Link-Klicks",),
        "purchases": ("Käufe",),
        "revenue": (
            *("Conversion-Wert von Käufen", "Conversion-Wert für Käufe", "Kauf-Conversion-Wert"),
            *("Conversion-Wert für Kauf", "Conversion-Wert der Käufe", "Kaufwert"),
        ),
        "results": ("Ergebnisse",),
    },
    "fr": {
        "account_name": ("Nom du compte", "Nom du compte publicitaire"),
        "account_id": ("ID du compte", "Identifiant du compte"),
        "campaign_name": ("Nom de la campagne",),
        "campaign_id": ("ID de la campagne", "Identifiant de la campagne"),
        "adset_name": ("Nom de l'ensemble de publicités",),
        "adset_id": ("ID de l'ensemble de publicités", "Identifiant de l'ensemble de publicités"),
        "ad_name": ("Nom de la publicité",),
        "ad_id": ("ID de la publicité", "Identifiant de la publicité"),
        "day": ("Jour",),
        "starts": ("Début des rapports",),
        "ends": ("Fin des rapports",),
        "currency": ("Devise",),
        "spend": ("Montant dépensé",),
        "impressions": ("Impressions",),
        "clicks": ("Clics (tous)",),
        "link_clicks": ("Clics sur un lien", "Clics sur le lien"),
        "purchases": ("Achats",),
        "revenue": ("Valeur de conversion des achats",),
        "leads": ("Prospects",),
        "results": ("Résultats",),
    },
    "es": {
        "account_name": ("Nombre de la cuenta",),
        "account_id": ("Identificador de la cuenta", "ID de la cuenta"),
        "campaign_name": ("Nombre de la campaña",),
        "campaign_id": ("Identificador de la campaña", "ID de la campaña"),
        "adset_name": ("Nombre del conjunto de anuncios",),
        "adset_id": ("Identificador del conjunto de anuncios", "ID del conjunto de anuncios"),
        "ad_name": ("Nombre del anuncio",),
        "ad_id": ("Identificador del anuncio", "ID del anuncio"),
        "day": ("Día", "Fecha"),
        "starts": ("Inicio del informe",),
        "ends": ("Fin del informe",),
        "currency": ("Divisa",),
        "spend": ("Importe gastado",),
        "impressions": ("Impresiones",),
        "clicks": ("Clics (todos)",),
        "link_clicks": ("Clics en el enlace",),
        "purchases": ("Compras",),
        "revenue": ("Valor de conversión de compras",),
        "leads": ("Clientes potenciales",),
        "results": ("Resultados",),
    },
    "it": {
        "account_name": ("Nome dell'account", "Nome account"),
        "account_id": ("ID dell'account",),
        "campaign_name": ("Nome della campagna",),
        "campaign_id": ("ID campagna", "ID della campagna"),
        "adset_name": ("Nome del gruppo di inserzioni",),
        "adset_id": ("ID gruppo di inserzioni", "ID del gruppo di inserzioni"),
        "ad_name": ("Nome dell'inserzione",),
        "ad_id": ("ID inserzione", "ID dell'inserzione"),
        "day": ("Giorno",),
        "starts": ("Inizio dei report", "Inizio del report"),
        "ends": ("Fine dei report", "Fine del report"),
        "currency": ("Valuta",),
        "spend": ("Importo speso",),
        "impressions": ("Impression", "Impressioni"),
        "clicks": ("Clic (tutti)",),
        "link_clicks": ("Clic sul link",),
        "purchases": ("Acquisti",),
        "revenue": ("Valore di conversione degli acquisti",),
        "leads": ("Contatti", "Lead"),
        "results": ("Risultati",),
    },
    "pt": {
        "account_name": ("Nome da conta",),
        "account_id": ("Identificação da conta", "ID da conta"),
        "campaign_name": ("Nome da campanha",),
        "campaign_id": ("Identificação da campanha", "ID da campanha"),
        "adset_name": ("Nome do conjunto de anúncios",),
        "adset_id": ("Identificação do conjunto de anúncios", "ID do conjunto de anúncios"),
        "ad_name": ("Nome do anúncio",),
        "ad_id": ("Identificação do anúncio", "ID do anúncio"),
        "day": ("Dia",),
        "starts": ("Início dos relatórios",),
        "ends": (*("Término dos relatórios", "Encerramento dos relatórios", "Fim dos relatórios"),),
        "currency": ("Moeda",),
        "spend": ("Valor usado", "Valor gasto", "Montante gasto"),
        "impressions": ("Impressões",),
        "clicks": ("Cliques (todos)",),
        "link_clicks": ("Cliques no link", "Cliques na ligação"),
        "purchases": ("Compras",),
        "revenue": ("Valor de conversão da compra", "Valor de conversão de compras"),
        "leads": ("Cadastros",),
        "results": ("Resultados",),
    },
    "nl": {
        "account_name": ("Accountnaam",),
        "account_id": ("Account-ID",),
        "campaign_name": ("Campagnenaam", "Naam campagne"),
        "campaign_id": ("Campagne-ID",),
        "adset_name": ("Naam advertentieset", "Advertentiesetnaam"),
        "adset_id": ("Advertentieset-ID", "ID advertentieset"),
        "ad_name": ("Advertentienaam", "Naam advertentie"),
        "ad_id": ("Advertentie-ID",),
        "day": ("Dag",),
        "starts": ("Start rapportage",),
        "ends": ("Einde rapportage",),
        "currency": ("Valuta",),
        "spend": ("Besteed bedrag",),
        "impressions": ("Weergaven", "Vertoningen"),
        "clicks": ("Klikken (alle)",),
        "link_clicks": ("Klikken op links", "Linkklikken", "Linkkliks"),
        "purchases": ("Aankopen",),
        "revenue": ("Conversiewaarde van aankopen",),
        "results": ("Resultaten",),
    },
    "pl": {
        "account_name": ("Nazwa konta",),
        "account_id": ("Identyfikator konta",),
        "campaign_name": ("Nazwa kampanii",),
        "campaign_id": ("Identyfikator kampanii", "ID kampanii"),
        "adset_name": ("Nazwa zestawu reklam",),
        "adset_id": ("Identyfikator zestawu reklam", "ID zestawu reklam"),
        "ad_name": ("Nazwa reklamy",),
        "ad_id": ("Identyfikator reklamy",),
        "day": ("Dzień",),
        "starts": ("Początek raportowania", "Początek okresu raportowania"),
        "ends": ("Koniec raportowania", "Koniec okresu raportowania"),
        "currency": ("Waluta",),
        "spend": ("Wydana kwota",),
        "impressions": ("Wyświetlenia",),
        "clicks": ("Kliknięcia (wszystkie)",),
        "link_clicks": ("Kliknięcia linku",),
        "purchases": ("Zakupy",),
        "revenue": ("Wartość konwersji zakupów", "Wartość konwersji zakupu"),
        "leads": ("Kontakty", "Potencjalni klienci"),
        "results": ("Wyniki",),
    },
    "cs": {
        "account_name": ("Název účtu",),
        "account_id": ("ID účtu",),
        "campaign_name": ("Název kampaně",),
        "campaign_id": ("ID kampaně", "Identifikátor kampaně"),
        "adset_name": ("Název sady reklam",),
        "adset_id": ("ID sady reklam", "Identifikátor sady reklam"),
        "ad_name": ("Název reklamy",),
        "ad_id": ("ID reklamy", "Identifikátor reklamy"),
        "day": ("Den",),
        "starts": ("Začátek vykazování", "Začátek reportování", "Začátek přehledu"),
        "ends": ("Konec vykazování", "Konec reportování", "Konec přehledu"),
        "currency": ("Měna",),
        "spend": ("Utracená částka", "Vynaložená částka"),
        "impressions": ("Zobrazení", "Imprese"),
        "clicks": ("Kliknutí (všechna)", "Kliknutí (vše)", "Prokliky (všechny)"),
        "link_clicks": ("Kliknutí na odkaz", "Prokliky odkazu"),
        "purchases": ("Nákupy",),
        "revenue": ("Hodnota konverze nákupů", "Hodnota konverzí nákupů"),
        "leads": ("Potenciální zákazníci",),
        "results": ("Výsledky",),
    },
    "ja": {
        "account_name": ("アカウント名", "広告アカウント名"),
        "account_id": ("アカウントID", "広告アカウントID"),
        "campaign_name": ("キャンペーン名", "キャンペーンの名前"),
        "campaign_id": ("キャンペーンID",),
        "adset_name": ("広告セット名", "広告セットの名前"),
        "adset_id": ("広告セットID",),
        "ad_name": ("広告名", "広告の名前"),
        "ad_id": ("広告ID",),
        "day": ("日", "日付"),
        "starts": ("レポート開始日",),
        "ends": ("レポート終了日",),
        "currency": ("通貨",),
        "spend": ("消化金額",),
        "impressions": ("インプレッション",),
        "clicks": ("クリック(すべて)",),
        "link_clicks": ("リンクのクリック", "リンクのクリック数", "リンククリック"),
        "purchases": ("購入",),
        "revenue": ("購入のコンバージョン値", "購入コンバージョン値"),
        "leads": ("リード",),
        "results": ("結果",),
    },
}

_TOTAL_WORDS = (
    *("Total", "Totals", "Grand total", "All", "Gesamt", "Summe", "Gesamtsumme", "Alle", "Tous"),
    *("Total général", "Todos", "Total general", "Totale", "Tutti", "Total geral", "Totaal"),
    *("Razem", "Suma", "Łącznie", "Wszystkie", "Celkem", "Součet", "Vše", "合計", "総計", "すべて"),
)
_BLANK = frozenset({"", "-", "--", "–", "—"})
_TOTAL_PHRASE = re.compile(
    r"(results (from|of)|ergebnisse (von|aus)|résultats (de|pour)|resultados (de|da)|"
    r"risultati (di|da)|resultaten (van|uit)|wyniki (z|dla)|výsledky (z|ze|pro))\b.*\d",
    re.IGNORECASE,
)
_CURRENCY = re.compile(r"[(\[]([A-Z]{3})[)\]]\s*$")


@dataclass(frozen=True)
class Column:
    """One column of an export. ``field`` is None where the heading means nothing here."""

    heading: str
    field: str | None
    currency: str | None
    languages: tuple[str, ...]


def fold(text: str) -> str:
    """``text`` reduced to letters and digits without case, accents, width and punctuation."""
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    return "".join(character for character in decomposed if character.isalnum())


def _by_folded_heading() -> dict[str, tuple[str, list[str]]]:
    known: dict[str, tuple[str, list[str]]] = {}
    for language, fields in _HEADINGS.items():
        for field, headings in fields.items():
            for heading in headings:
                known_field, languages = known.setdefault(fold(heading), (field, []))
                if known_field != field:
                    raise AssertionError(f"{heading!r} is both {known_field} and {field}")
                languages.append(language)
    return known


_KNOWN = _by_folded_heading()
_TOTALS = frozenset(fold(word) for word in _TOTAL_WORDS)
_OF_LANGUAGE = {
    language: {field: fields.get(field, english)[0] for field, english in _HEADINGS["en"].items()}
    for language, fields in _HEADINGS.items()
}


def headings_of(language: str) -> dict[str, str]:
    """The first heading of every field in ``language``, English where that language shares it."""
    return _OF_LANGUAGE[language]


def languages() -> tuple[str, ...]:
    """The languages whose headings are known (ISO 639-1)."""
    return tuple(_HEADINGS)


def identify(heading: str) -> Column:
    """What ``heading`` is, with the ISO currency that amounts carry in parentheses."""
    text = unicodedata.normalize("NFKC", heading).strip()
    found = _CURRENCY.search(text)
    known = _KNOWN.get(fold(text[: found.start()] if found else text))
    return Column(
        heading=heading.strip(),
        field=known[0] if known else None,
        currency=found.group(1) if found else None,
        languages=tuple(known[1]) if known else (),
    )


def language_of(columns: Sequence[Column]) -> str:
    """The language that most of the known headings belong to; English where it is a tie."""
    votes = Counter(language for column in columns for language in column.languages)
    return max(_HEADINGS, key=lambda language: votes[language])


def says_total(cell: str) -> bool:
    """Whether the cell of a name or a date says that its row is a total or subtotal, or nothing."""
    text = cell.strip()
    return text in _BLANK or fold(text) in _TOTALS or bool(_TOTAL_PHRASE.match(text))

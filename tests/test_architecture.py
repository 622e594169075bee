"""What holds for the code as a whole, read from its imports and its syntax trees."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import call_command
from django.urls import URLPattern, URLResolver, get_resolver

ROOT = Path(settings.BASE_DIR)
PACKAGES = ["console", "connectors", "installations"]
VIEWS = [
    path.relative_to(ROOT).as_posix()
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
    if path.stem in ("views", "steps", "api") or path.stem.endswith("_pages") or path.parent.name == "api"
]

# The pages that need neither a member of a partner nor a customer's link, and why.
PUBLIC = {
    "healthz": "says whether the server works",
    "readyz": "says which of its parts do not",
    "metrics": "asks for a token of its own",
    "sign-in": "the way in",
    "sign-out": "ends whatever session there is",
    "password": "asks for a sign-in itself; staff who work for no partner change theirs too",
    "api-problems": "says fixed texts, to which the type of each problem leads",
    "connector-logo": "the customer's pages show it, and it names nobody",
    "connector-schema": "the form of a manifest, for editors",
    "hook": "holds a token, which is looked up, and a signature, which is verified",
    "setup-link": "holds the token of a link, which is looked up",
    "oauth-callback": "holds a state, which is looked up and bound to the browser",
    "oauth-problem": "says a fixed text about an answer that belongs to nobody",
}


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def test_imports_run_one_way_and_only_one_module_opens_the_door():
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


# ── tenancy ─────────────────────────────────────────────────────────────────────────────────────


SHORTCUTS = ("get_object_or_404", "get_list_or_404")


def stray_rows(tree: ast.AST) -> Iterator[str]:
    """Ways to rows that do not ask who may see them."""
    parents = {child: parent for parent in ast.walk(tree) for child in ast.iter_child_nodes(parent)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            following = parents[node]
            asks = (
                isinstance(following, ast.Attribute)
                and following.attr in ("visible_to", "record")
                and isinstance(parents[following], ast.Call)
                and parents[following].func is following
            )
            if node.attr == "objects" and not asks:
                yield f"line {node.lineno}: {ast.unparse(following)}"
            # What pydantic calls the members that were sent leads to no rows.
            related = node.attr.endswith("_set") and node.attr != "model_fields_set"
            if node.attr in ("_default_manager", "_base_manager", "raw") or related:
                yield f"line {node.lineno}: {ast.unparse(node)}"
        if isinstance(node, ast.Constant) and node.value in ("objects", "_default_manager"):
            yield f"line {node.lineno}: the name {node.value!r} as a text"
        # A model alone would be looked up among everybody's rows.
        looks_up = isinstance(node, ast.Call) and ast.unparse(node.func) in SHORTCUTS
        if looks_up and not _made_visible(tree, node):
            yield f"line {node.lineno}: {ast.unparse(node)}"


def _made_visible(tree: ast.AST, call: ast.Call) -> bool:
    """Whether the call's rows come from `visible_to`, there or a few lines above in the same function."""
    name = ast.unparse(call.args[0])
    if ".visible_to(" in name:
        return True
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef) and call in ast.walk(function):
            made = [
                ast.unparse(node.value)
                for node in ast.walk(function)
                if isinstance(node, ast.Assign) and name in map(ast.unparse, node.targets)
            ]
            return bool(made) and all(".visible_to(" in text for text in made)
    return False


@pytest.mark.parametrize("path", VIEWS)
def test_views_reach_rows_only_through_the_one_question_who_may_see_them(path):
    assert list(stray_rows(tree_of(ROOT / path))) == []


@pytest.mark.parametrize(
    "stray",
    [
        "Account.objects.get(pk=1)",
        "Account.objects.filter(partner=partner).visible_to(principal)",
        "rows = Account.objects",
        "Account.objects.visible_to",
        "Account._default_manager.all()",
        "account.installation_set.all()",
        "getattr(Account, 'objects').all()",
        "get_object_or_404(Account, pk=1)",
        "def page(request):\n    rows = Account\n    return get_object_or_404(rows, pk=1)",
    ],
)
def test_that_rule_notices_what_it_forbids(stray):
    assert list(stray_rows(ast.parse(stray)))


@pytest.mark.parametrize(
    "fine",
    [
        "Account.objects.visible_to(request.principal).filter(pk=1)",
        "Event.objects.record('kind', principal, 'text')",
        "get_object_or_404(Account.objects.visible_to(request.principal), pk=1)",
        "def page(r):\n    rows = A.objects.visible_to(r.who)\n    return get_object_or_404(rows, pk=1)",
    ],
)
def test_that_rule_lets_pass_what_it_asks_for(fine):
    assert list(stray_rows(ast.parse(fine))) == []


def routed(patterns=None, prefix: str = "") -> Iterator[URLPattern]:
    for pattern in get_resolver().url_patterns if patterns is None else patterns:
        address = prefix + str(pattern.pattern)
        # Of the API each operation asks for a key, which test_api_tenancy asks of each.
        if address.startswith(("staff/", "api/v1/")):
            continue
        if isinstance(pattern, URLResolver):
            yield from routed(pattern.url_patterns, address)
        else:
            yield pattern


@pytest.mark.parametrize("pattern", list(routed()), ids=lambda pattern: pattern.name)
def test_every_page_asks_for_a_member_or_a_link_unless_it_is_public(pattern):
    guarded = [
        kind for kind in ("is_partner_page", "is_customer_page") if getattr(pattern.callback, kind, False)
    ]
    if pattern.name in PUBLIC:
        assert guarded == [], "no longer public: take it off the list"
    else:
        assert len(guarded) == 1


def test_the_list_of_public_pages_holds_nothing_that_is_gone():
    assert set(PUBLIC) <= {pattern.name for pattern in routed()}


@pytest.mark.parametrize("mark", ["is_partner_page", "is_customer_page"])
def test_only_the_two_guards_themselves_mark_a_page_as_guarded(mark):
    places = [
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if f"{mark} = True" in path.read_text(encoding="utf-8")
    ]
    assert places == [
        {"is_partner_page": "console/tenancy.py", "is_customer_page": "installations/entrances.py"}[mark]
    ]


# ── names, migrations, style ────────────────────────────────────────────────────────────────────


def test_every_module_has_a_name_that_says_what_is_in_it():
    modules = {path.stem for package in [*PACKAGES, "tests"] for path in (ROOT / package).rglob("*.py")}
    modules |= {path.name for package in PACKAGES for path in (ROOT / package).rglob("*") if path.is_dir()}
    assert "tenancy" in modules
    assert not modules & {"utils", "util", "common", "core", "helpers", "helper", "services", "misc"}


@pytest.mark.django_db
def test_the_models_and_the_migrations_agree(capsys):
    call_command("makemigrations", check=True, dry_run=True)
    assert "No changes detected" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["check"], ["format", "--check"]], ids=["rules", "format"])
def test_the_code_keeps_to_its_style(arguments):
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *arguments, "--no-cache", "."],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr

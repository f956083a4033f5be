"""The page's libraries, Vega-Lite and DataTables, from packages that are installed with the workflow."""

import importlib.metadata
import re

from retrace.errors import UserError


def vega() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script that defines `vegaEmbed`."""
    try:
        import vl_convert
    except ImportError:
        raise _missing("vl-convert-python") from None
    return _inline(vl_convert.javascript_bundle())


def datatables() -> tuple[str, str]:
    """DataTables as a script that defines `DataTable`, and its styles."""
    try:
        package = importlib.metadata.distribution("itables")
    except importlib.metadata.PackageNotFoundError:
        raise _missing("itables") from None
    script, styles = (
        package.locate_file(f"itables/html/dt_bundle.{ending}").read_text(encoding="utf-8") for ending in ("js", "css")
    )
    # The bundle is a module; what it exports becomes a global of the page.
    exports = re.search(r"export\s*\{([^}]*)\}\s*;?", script)
    found = exports and re.search(r"(\w+) as default\b", exports[1])
    if not found:
        raise UserError(f"itables {package.version}: its bundle exports no DataTable; {_MEND}")
    script = script[: exports.start()] + f";globalThis.DataTable={found[1]};" + script[exports.end() :]
    return _inline("(()=>{" + script + "})();"), styles


_MEND = "install what envs/requirements.txt names: bash envs/setup"


def _missing(package: str) -> UserError:
    return UserError(f"results/report.html needs the package {package}; {_MEND}")


def _inline(script: str) -> str:
    """Text that is safe inside a script element: nothing in it ends the element."""
    return re.sub(r"</(?=script)", r"<\\/", script, flags=re.IGNORECASE).replace("<!--", r"<\!--")

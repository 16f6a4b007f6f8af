"""The row of links under the title of every page of the site."""

from pathlib import Path


def links(file: str, repository: str, branch: str = "main") -> list[tuple[str, str]]:
    """What a reader can do with a notebook, as (text, address); `file` is its path in `owner/name`."""
    return [
        ("Open in Colab", f"https://colab.research.google.com/github/{repository}/blob/{branch}/{file}"),
        ("Download notebook", f"https://raw.githubusercontent.com/{repository}/{branch}/{file}"),
        ("Source", f"https://github.com/{repository}/blob/{branch}/{file}"),
    ]


class page_links:
    """A step of nbdev's processing for Quarto, named in pyproject.toml, which puts the links there."""

    def __init__(self, nb):
        self.nb = nb

    def end(self):
        from fastcore.nbio import mk_cell
        from nbdev.config import get_config

        path, cfg = Path(getattr(self.nb, "path_", "")), get_config()
        if path.suffix == ".ipynb":
            row = links(path.relative_to(cfg.config_path).as_posix(), f"{cfg.user}/{cfg.repo}", cfg.branch)
            text = " · ".join(f"[{text}]({address})" for text, address in row)
            self.nb.cells.insert(1, mk_cell(text, "markdown"))

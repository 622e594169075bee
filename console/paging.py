"""Pages of lists that may be long, and what is searched for in them."""

from django.core.paginator import Page, Paginator
from django.http import HttpRequest


def asked_for(request: HttpRequest, name: str = "q") -> str:
    """A search or a filter, as the address has it. Without NUL, which PostgreSQL takes in no text."""
    return request.GET.get(name, "").replace("\0", "").strip()[:100]


class LongPaginator(Paginator):
    """Finds the keys of a page along an index first, so that a row which is skipped is never read.

    `joined` and `columns` are what select_related and only take, for the rows of the page. A search has
    no index to count along: with `at_most` its first hits are found and counted in one walk, `has_more`
    says that there are others.
    """

    def __init__(self, rows, per_page: int, *, joined=(), columns=(), at_most: int | None = None):
        super().__init__(rows, per_page)
        self.joined = joined
        self.columns = columns
        self.has_more = False
        self._hits: list | None = None
        if at_most:
            found = list(rows.values_list("pk", flat=True)[: at_most + 1])
            self.has_more = len(found) > at_most
            self._hits = found[:at_most]
            self.count = len(self._hits)

    def get_page(self, number) -> Page:
        try:
            number = max(int(number or 1), 1)
        except ValueError:
            number = 1
        if number > 1:
            number = min(number, self.num_pages)
        keys = self._keys(number)
        if number == 1 and len(keys) < self.per_page:
            # They are all there are: a search need not be made a second time to count them.
            self.count = len(keys)
        return self._get_page(self._rows(keys), number, self)

    def _keys(self, number: int) -> list:
        start = (number - 1) * self.per_page
        if self._hits is not None:
            return self._hits[start : start + self.per_page]
        return list(self.object_list.values_list("pk", flat=True)[start : start + self.per_page])

    def _rows(self, keys: list) -> list:
        # By key alone: given the partner as well, SQLite may walk through all of the partner's rows.
        rows = self.object_list.model._base_manager.only(*self.columns)
        found = (rows.select_related(*self.joined) if self.joined else rows).in_bulk(keys)
        return [found[key] for key in keys if key in found]

"""Takes note that the files of an archive were copied to another place."""

from datetime import date

from market_pipeline.archive.store import Store
from market_pipeline.archive.verifying import problems
from market_pipeline.storage import archives
from market_pipeline.storage.database import Database


def take_over(database: Database, store: Store, day: date) -> str | None:
    """Certify that a day's archive is at a store if its files there are as certified elsewhere.

    Returns what is wrong with them, None if nothing is; the certificate stays as it was then. The
    files in the other place are left alone.

    Raises:
        ArchiveBusy: the day is being archived.
        ArchiveUnavailable: files cannot be read now.
    """
    with archives.holding(database, day):
        found = archives.certificate(database, day)
        if found is None or found.location == store.location:
            return None
        files = archives.files(database, day)
        damage = "; ".join(problems(store, files, values=False)) or None
        if damage is None:
            database.execute("set_archive_location", day=day, location=store.location)
    return damage

"""How often things worked, day by day: what the sparklines draw."""

from django.db import IntegrityError, models, transaction

from console.tenancy import PartnerOwned


class Tally(PartnerOwned):
    """Successes and failures of one day, of a connector, an account or an installation."""

    # "connector:<slug>", "account:<uuid>" or "installation:<uuid>".
    about = models.CharField(max_length=120)
    day = models.DateField()
    worked = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)

    class Meta:
        verbose_name_plural = "tallies"
        constraints = [models.UniqueConstraint(fields=["partner", "about", "day"], name="one_tally_per_day")]
        # For throwing away what is old.
        indexes = [models.Index(fields=["day"], name="tally_by_day")]

    def __str__(self) -> str:
        return f"{self.about} on {self.day}"

    @classmethod
    def note(cls, installation, day, *, worked: bool) -> None:
        """One more success or failure of an installation, of its account and of its connector."""
        about = [
            f"connector:{installation.connector}",
            f"account:{installation.account_id}",
            f"installation:{installation.pk}",
        ]
        cls._add(installation.partner_id, day, about, worked=worked)

    @classmethod
    def _add(cls, partner_id, day, abouts: list[str], *, worked: bool) -> None:
        """Count one success or failure for each of these."""
        column = "worked" if worked else "failed"
        for about in abouts:
            rows = cls.objects.filter(partner_id=partner_id, about=about, day=day)
            if rows.update(**{column: models.F(column) + 1}):
                continue
            try:
                with transaction.atomic():
                    cls.objects.create(partner_id=partner_id, about=about, day=day, **{column: 1})
            except IntegrityError:  # somebody else began the day
                rows.update(**{column: models.F(column) + 1})

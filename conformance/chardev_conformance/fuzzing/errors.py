"""What keeps a campaign from going on."""


class CampaignError(Exception):
    """A campaign that cannot begin or go on; the message says why, and what to do.

    What is on disk stays as it was.
    """

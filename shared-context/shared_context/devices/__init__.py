"""Who belongs to the household: paired devices and tiers, as part of the replicated memory."""

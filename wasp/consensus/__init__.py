"""Agreement of a committee: broadcast, binary agreement, common subset and the signed anchor."""

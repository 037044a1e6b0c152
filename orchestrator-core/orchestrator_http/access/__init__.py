"""Who may ask, and what from where: keys, devices, pairings, origins; answers signed in return."""

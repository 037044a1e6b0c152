"""Who a machine is and how it proves it: keys, pairing, signed and sealed requests."""

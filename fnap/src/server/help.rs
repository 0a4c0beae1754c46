//! What HELP says: every command, one line of syntax each.

//! Offline verification of one file against a trust list: what it is, who signed it, and whether that counts.

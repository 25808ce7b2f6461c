//! The keepwell program: pilot, node, wallet, records, verify, audit, bench.

//! x **Invariant:** x

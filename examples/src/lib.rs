//! Root tasks that each show one thing: one program per file in `src/bin`. This crate root is empty.

#![no_std]

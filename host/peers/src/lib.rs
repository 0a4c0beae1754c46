//! Other participants: what is asked of them, and what they ask of us.
//!
//! Nothing is here yet.

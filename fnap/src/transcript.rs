//! Transcripts: dialogues as text, which are documents and tests. For tests only.

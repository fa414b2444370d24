//! An ordered map with conditional batches, and blobs; its engines.

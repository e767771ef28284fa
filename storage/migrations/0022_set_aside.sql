-- The clicks of an erased profile are taken out of batches that could not be folded. Goes before the code.
GRANT UPDATE (payload) ON dead_letter_batches TO waypost_aggregator;

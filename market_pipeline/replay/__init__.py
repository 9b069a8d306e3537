"""Days that are over, streamed once more from a journal or the archive, beside the pipeline."""

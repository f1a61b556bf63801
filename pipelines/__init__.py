"""Photos to labels: the pipeline, and what reads photos for it. Import from the modules."""

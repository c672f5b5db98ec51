"""Generated stubs of the Open Inference Protocol v2 (`inference`): what KServe and Triton clients speak."""

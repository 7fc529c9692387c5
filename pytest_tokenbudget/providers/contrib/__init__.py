"""APIs that few speak, and models that are no language models; made of the same base class, registered in the same list."""

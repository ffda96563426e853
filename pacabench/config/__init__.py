"""The configuration: what ``pacabench.yaml`` may say (``schema``) and how it is read (``load``)."""

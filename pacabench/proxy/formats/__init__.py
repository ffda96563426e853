"""The families of APIs that the proxy speaks, one file each; see ``wire.WireFormat``."""

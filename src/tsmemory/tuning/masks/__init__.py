"""Masks study: which sites of the backbone carry LoRA, and how TRACE is set (METHOD 2.5)."""

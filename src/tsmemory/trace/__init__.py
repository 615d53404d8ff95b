"""TRACE (Li & Zhu, 2026): gated LoRA selection and reconstructed heads."""

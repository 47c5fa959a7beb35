"""What the processor of this machine can compute with."""

from __future__ import annotations

from pathlib import Path

import torch

CPU_INFO = Path("/proc/cpuinfo")


def emulates_bf16() -> bool:
    """Whether the processor has no bf16 arithmetic; False where the system does not tell."""
    return _cpu_has_bf16() is False


def has_bf16(accelerator: object) -> bool:
    """Whether a trainer's accelerator is known to have bf16 arithmetic."""
    if accelerator in ("gpu", "cuda", "auto") and torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return accelerator in ("cpu", "auto") and _cpu_has_bf16() is True


def _cpu_has_bf16() -> bool | None:
    """Whether the processor has bf16 arithmetic; None where the system does not tell."""
    try:
        text = CPU_INFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # x86 says avx512_bf16 and amx_bf16, ARM bf16.
    lines = [line for line in text.splitlines() if line.startswith(("flags", "Features"))]
    return any("bf16" in line for line in lines) if lines else None

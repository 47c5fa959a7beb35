"""What the processor of this machine can compute with."""

from __future__ import annotations

from pathlib import Path

CPU_INFO = Path("/proc/cpuinfo")


def emulates_bf16() -> bool:
    """Whether the processor has no bf16 arithmetic; False where the system does not tell."""
    try:
        text = CPU_INFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    # x86 says avx512_bf16 and amx_bf16, ARM bf16.
    lines = [line for line in text.splitlines() if line.startswith(("flags", "Features"))]
    return bool(lines) and not any("bf16" in line for line in lines)

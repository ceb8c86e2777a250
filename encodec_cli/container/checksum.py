"""The CRC-32 of records, seeded with their number, and the number back from an intact record."""

import zlib
from functools import cache, lru_cache

__all__ = ["CRC_BYTES", "recover_index", "seal", "sealed"]

CRC_BYTES = 4
_POLYNOMIAL = 0xEDB88320  # CRC-32 as zlib has it: bit 31 is x^0, bit 0 is x^31
_FIELD_ORDER = (1 << 32) - 1  # the polynomial is primitive: x^(2^32 - 1) = 1


def seal(body: bytes, index: int) -> bytes:
    """`body` with the checksum of record number `index` behind it."""
    return body + zlib.crc32(body, index).to_bytes(CRC_BYTES, "big")


def sealed(record: bytes, index: int) -> bool:
    """Whether `record` ends with the checksum of record number `index`."""
    return record == seal(record[:-CRC_BYTES], index)


def recover_index(record: bytes) -> int:
    """The index for which the record's checksum is right.

    A CRC is linear: seeding it with `index` adds index * x^(8 bytes) to what seed 0 gives, and
    dividing that out recovers the index. If the record is damaged, the result is arbitrary, so
    the caller accepts only the few indices that make sense where the record was found.
    """
    body = record[:-CRC_BYTES]
    stored = int.from_bytes(record[-CRC_BYTES:], "big")
    return _multiply(stored ^ zlib.crc32(body), _inverse_power(len(body)))


@lru_cache(maxsize=4096)
def _inverse_power(count: int) -> int:
    """x^(-8 * count) modulo the CRC polynomial, in a product for each bit of `count`."""
    result = 1 << 31
    for bit in range(count.bit_length()):
        if count >> bit & 1:
            result = _multiply(result, _inverse_square(bit))
    return result


@cache
def _inverse_square(bit: int) -> int:
    """x^(-8 * 2^bit) modulo the CRC polynomial; records have few sizes of `bit`s."""
    result, square, left = 1 << 31, 1 << 30, (-8 << bit) % _FIELD_ORDER
    while left:
        if left & 1:
            result = _multiply(result, square)
        square = _multiply(square, square)
        left >>= 1
    return result


def _multiply(left: int, right: int) -> int:
    """Product of two polynomials over GF(2) modulo the CRC polynomial."""
    product = 0
    while left:
        if left & 0x80000000:
            product ^= right
        left = left << 1 & 0xFFFFFFFF
        right = right >> 1 ^ (_POLYNOMIAL if right & 1 else 0)
    return product

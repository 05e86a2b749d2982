import binascii
import secrets

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def tag(n):
    return ALPHABET[n >> 12] + ALPHABET[n >> 6 & 63] + ALPHABET[n & 63]


def owner_tag(owner_id):
    return tag(binascii.crc_hqx(owner_id.encode(), 0) % 16384)


def root_of_owner(prefix, owner_id):
    return prefix + ":{" + owner_tag(owner_id) + "}"


def root_of_secret(prefix, key_or_hash):
    return prefix + ":{" + key_or_hash[:3] + "}"


def root_of_id(prefix, token_id):
    return prefix + ":{" + tag(int(token_id[-4:], 16)) + "}"


def new_key(owner_id):  # 24 characters
    return owner_tag(owner_id) + secrets.token_urlsafe(18)[:21]


def with_tag(uuid7, owner_id):  # an id for this owner, from a new UUID version 7
    return uuid7[:-4] + "%04x" % (binascii.crc_hqx(owner_id.encode(), 0) % 16384)

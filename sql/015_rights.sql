-- SPDX-License-Identifier: Apache-2.0
-- Triggers that look at what an administrator may not read (password hashes)
-- work with the owner's rights.

ALTER FUNCTION sbc.account_check() SECURITY DEFINER;
ALTER FUNCTION sbc.realm_check() SECURITY DEFINER;

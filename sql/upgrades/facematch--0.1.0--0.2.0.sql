/*
 * 0.1.0 to 0.2.0: what sql/upgrades/join.pl cannot read off the two scripts.
 */

--@ statements

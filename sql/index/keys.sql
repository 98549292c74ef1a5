/*
 * Key classes for the hashable types that access_method.sql does not have: with these, every
 * type that PostgreSQL hashes by itself can be a gallery key.
 */
CREATE OPERATOR CLASS multirange_ops DEFAULT FOR TYPE pg_catalog.anymultirange USING facematch AS
	OPERATOR 1 pg_catalog.=, FUNCTION 1 pg_catalog.hash_multirange_extended(anymultirange, int8);
CREATE OPERATOR CLASS xid8_ops DEFAULT FOR TYPE pg_catalog.xid8 USING facematch AS
	OPERATOR 1 pg_catalog.=, FUNCTION 1 pg_catalog.hashint8extended(int8, int8);
CREATE OPERATOR CLASS xid_ops DEFAULT FOR TYPE pg_catalog.xid USING facematch AS
	OPERATOR 1 pg_catalog.=, FUNCTION 1 pg_catalog.hashint4extended(int4, int8);
CREATE OPERATOR CLASS cid_ops DEFAULT FOR TYPE pg_catalog.cid USING facematch AS
	OPERATOR 1 pg_catalog.=, FUNCTION 1 pg_catalog.hashint4extended(int4, int8);
CREATE OPERATOR CLASS tid_ops DEFAULT FOR TYPE pg_catalog.tid USING facematch AS
	OPERATOR 1 pg_catalog.=, FUNCTION 1 pg_catalog.hashtidextended(tid, int8);
CREATE OPERATOR CLASS aclitem_ops DEFAULT FOR TYPE pg_catalog.aclitem USING facematch AS
	OPERATOR 1 pg_catalog.=, FUNCTION 1 pg_catalog.hash_aclitem_extended(aclitem, int8);
CREATE OPERATOR CLASS oidvector_ops DEFAULT FOR TYPE pg_catalog.oidvector USING facematch AS
	OPERATOR 1 pg_catalog.=, FUNCTION 1 pg_catalog.hashoidvectorextended(oidvector, int8);

COMMENT ON OPERATOR CLASS multirange_ops USING facematch IS 'gallery keys of type anymultirange: equality';
COMMENT ON OPERATOR CLASS xid8_ops USING facematch IS 'gallery keys of type xid8: equality';
COMMENT ON OPERATOR CLASS xid_ops USING facematch IS 'gallery keys of type xid: equality';
COMMENT ON OPERATOR CLASS cid_ops USING facematch IS 'gallery keys of type cid: equality';
COMMENT ON OPERATOR CLASS tid_ops USING facematch IS 'gallery keys of type tid: equality';
COMMENT ON OPERATOR CLASS aclitem_ops USING facematch IS 'gallery keys of type aclitem: equality';
COMMENT ON OPERATOR CLASS oidvector_ops USING facematch IS 'gallery keys of type oidvector: equality';

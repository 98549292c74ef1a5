-- The page, of the last thirty days.
SELECT facematch.report_html(now() - interval '29 days', now(), :'title');

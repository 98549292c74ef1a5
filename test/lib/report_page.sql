-- The page, of the last thirty days.
SELECT facematch.report_html(title => :'title');

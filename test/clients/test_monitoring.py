"""contrib/monitoring: the exporter's queries run as a role with grant_monitor() alone and give the columns they name, and the
dashboard and the alerts ask for metrics that the exporter has."""
import glob
import json
import os
import re
import sys

try:
    import psycopg
except ImportError:
    print('psycopg 3 is not installed (python3-psycopg)')
    sys.exit(77)

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'contrib', 'monitoring')


def read_queries(path):
    """The few forms of YAML that the file is written in: name -> (query, {column: usage})."""
    queries, name, column, in_query = {}, None, None, False
    for line in open(path):
        if re.match(r'^\w+:$', line):
            name = line[:-2]
            queries[name] = ['', {}]
        elif re.match(r'^  \w', line):
            in_query = line == '  query: |\n'
        elif in_query:
            queries[name][0] += line
        elif match := re.match(r'^    - (\w+):$', line):
            column = match[1]
        elif match := re.match(r'^        usage: "(\w+)"$', line):
            queries[name][1][column] = match[1]
    return queries


def check_alerts(metrics):
    """Each rule asks for a metric that is exported; what it looks for in findings is a finding of the health check."""
    with open(os.path.join(HERE, 'alerts.yaml'), encoding='utf-8') as file:
        expressions = re.findall(r'^ +expr: (.*)$', file.read(), re.M)
    findings = ''
    for path in glob.glob(os.path.join(HERE, '..', '..', 'sql', 'monitoring', '*.sql')):
        # a long text is written in pieces
        findings += re.sub(r"'\s+'", '', open(path, encoding='utf-8').read()).replace("''", "'")
    assert len(expressions) >= 6, expressions
    for expression in expressions:
        named = re.search(r'facematch_\w+', expression)[0]
        assert named in metrics, expression
        for wanted in re.findall(r'finding=~?"([^"]*)"', expression):
            for one in wanted.split('|'):
                assert one.strip('.*') in findings, one


def main():
    queries = read_queries(os.path.join(HERE, 'postgres_exporter.yaml'))
    assert len(queries) == 5, queries.keys()
    metrics = set()
    with psycopg.connect('', autocommit=True) as conn:
        conn.execute('DROP ROLE IF EXISTS facematch_test_exporter')
        conn.execute('CREATE ROLE facematch_test_exporter')
        try:
            conn.execute("SELECT facematch.grant_monitor('facematch_test_exporter')")
            conn.execute('SET ROLE facematch_test_exporter')
            for name, (query, columns) in queries.items():
                cursor = conn.execute(query)
                rows = cursor.fetchall()
                got = [c.name for c in cursor.description]
                assert got == list(columns), (name, got, list(columns))
                # Nobody subscribes to the rights of this database.
                assert rows or name == 'facematch_rights', name
                for row in rows:
                    for column, value in zip(got, row):
                        if columns[column] == 'LABEL':
                            assert isinstance(value, str), (name, column, value)
                        else:
                            assert float(value) >= 0, (name, column, value)
                metrics.update(f'{name}_{column}' for column, usage in columns.items() if usage != 'LABEL')
        finally:
            conn.execute('RESET ROLE')
            conn.execute("SELECT facematch.revoke_access('facematch_test_exporter')")
            conn.execute('DROP ROLE facematch_test_exporter')

    check_alerts(metrics)
    dashboard = json.load(open(os.path.join(HERE, 'grafana-dashboard.json')))
    asked = [t['expr'] for p in dashboard['panels'] for t in p['targets']] + [v['query'] for v in dashboard['templating']['list']]
    named = {m for expr in asked for m in re.findall(r'\bfacematch_\w+', expr)}
    assert named and named <= metrics, named - metrics
    assert len({p['id'] for p in dashboard['panels']}) == len(dashboard['panels'])


main()

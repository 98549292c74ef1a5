"""face_embedding through the PostgreSQL JDBC driver (Jdbc.java).

The driver speaks TCP only and the test's server listens on a unix socket only, so connections are passed on from a port
of the loopback interface."""
import asyncio
import os
import pathlib
import shutil
import sys

HERE = pathlib.Path(__file__).resolve().parent
DRIVER = pathlib.Path(os.environ.get('PGJDBC_JAR', '/usr/share/java/postgresql.jar'))


async def pass_on(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def serve(reader, writer):
    socket = f"{os.environ['PGHOST']}/.s.PGSQL.{os.environ.get('PGPORT', '5432')}"
    server_reader, server_writer = await asyncio.open_unix_connection(socket)
    await asyncio.gather(pass_on(reader, server_writer), pass_on(server_reader, writer), return_exceptions=True)


async def run():
    server = await asyncio.start_server(serve, '127.0.0.1', 0)
    port = server.sockets[0].getsockname()[1]
    java = await asyncio.create_subprocess_exec('java', '-cp', str(DRIVER), str(HERE / 'Jdbc.java'), str(port), os.environ['PGDATABASE'])
    return await java.wait()


def main():
    if not DRIVER.exists() or not shutil.which('javac'):
        print('no JDBC driver or no JDK (libpostgresql-jdbc-java, default-jdk-headless)')
        return 77
    return asyncio.run(run())


sys.exit(main())

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataOutputStream;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.Arrays;
import java.util.Properties;
import org.postgresql.PGConnection;
import org.postgresql.util.ByteConverter;
import org.postgresql.util.PGBinaryObject;
import org.postgresql.util.PGobject;

/** face_embedding through the PostgreSQL JDBC driver; test_jdbc.py runs it.  Arguments: port, database. */
public class Jdbc {
	static final short TAG = 7;
	/* exact in half precision, and in the few digits that its text needs */
	static final float[] VALUES = {1, -2.5f, 0.125f, 0.0625f, 1000};

	/** A template that travels in binary, as an application would write one. */
	public static class Template extends PGobject implements PGBinaryObject {
		public float[] components;
		public short tag;

		public Template() {
			type = "face_embedding";
		}

		public Template(float[] components, short tag) {
			this();
			this.components = components;
			this.tag = tag;
		}

		@Override
		public void setValue(String s) {
			int colon = s.indexOf(':');
			String[] parts = s.substring(colon + 2, s.length() - 1).split(",");

			tag = colon < 0 ? 0 : Short.parseShort(s.substring(0, colon));
			components = new float[parts.length];
			for (int i = 0; i < parts.length; i++)
				components[i] = Float.parseFloat(parts[i]);
		}

		@Override
		public String getValue() {
			return (tag == 0 ? "" : tag + ":") + Arrays.toString(components).replace(" ", "");
		}

		@Override
		public int lengthInBytes() {
			return 4 + 4 * components.length;
		}

		@Override
		public void setByteValue(byte[] value, int offset) {
			components = new float[ByteConverter.int2(value, offset)];
			tag = ByteConverter.int2(value, offset + 2);
			for (int i = 0; i < components.length; i++)
				components[i] = ByteConverter.float4(value, offset + 4 + 4 * i);
		}

		@Override
		public void toBytes(byte[] bytes, int offset) {
			ByteConverter.int2(bytes, offset, components.length);
			ByteConverter.int2(bytes, offset + 2, tag);
			for (int i = 0; i < components.length; i++)
				ByteConverter.float4(bytes, offset + 4 + 4 * i, components[i]);
		}
	}

	static void check(boolean ok, String what) {
		if (!ok)
			throw new AssertionError(what);
	}

	static void insert(Connection conn, String query, Object value) throws SQLException {
		try (PreparedStatement s = conn.prepareStatement(query)) {
			s.setObject(1, value);
			s.executeUpdate();
		}
	}

	static void copy(Connection conn) throws Exception {
		ByteArrayOutputStream bytes = new ByteArrayOutputStream();
		DataOutputStream out = new DataOutputStream(bytes);
		Template t = new Template(VALUES, TAG);
		byte[] binary = new byte[t.lengthInBytes()];

		t.toBytes(binary, 0);
		out.write("PGCOPY\n\377\r\n\0".getBytes("ISO-8859-1"));
		out.writeLong(0);
		out.writeShort(1);
		out.writeInt(binary.length);
		out.write(binary);
		out.writeShort(-1);
		conn.unwrap(PGConnection.class).getCopyAPI()
			.copyIn("COPY face (embedding) FROM STDIN BINARY", new ByteArrayInputStream(bytes.toByteArray()));
		ByteArrayOutputStream back = new ByteArrayOutputStream();
		conn.unwrap(PGConnection.class).getCopyAPI()
			.copyOut("COPY (SELECT embedding FROM face ORDER BY id DESC LIMIT 1) TO STDOUT BINARY", back);
		check(Arrays.equals(bytes.toByteArray(), back.toByteArray()), "binary COPY gave other bytes");
	}

	static void readAll(Connection conn, int rows) throws SQLException {
		try (PreparedStatement s = conn.prepareStatement("SELECT embedding, face_model(embedding) FROM face ORDER BY id")) {
			/* the driver turns to binary results after some executions */
			for (int round = 0; round < 8; round++) {
				int n = 0;

				try (ResultSet r = s.executeQuery()) {
					for (; r.next(); n++) {
						Template t = (Template) r.getObject(1);

						check(Arrays.equals(VALUES, t.components), "other components in row " + n);
						check(t.tag == TAG && r.getInt(2) == TAG, "other tag in row " + n);
					}
				}
				check(n == rows, n + " rows, not " + rows);
			}
		}
	}

	/** An array of float goes as real[]: a column takes it, an operator takes it with the cast. */
	static void arrays(Connection conn) throws SQLException {
		Float[] boxed = new Float[VALUES.length];

		for (int i = 0; i < boxed.length; i++)
			boxed[i] = VALUES[i];
		try (PreparedStatement s = conn.prepareStatement(
			"SELECT max(embedding <=> ?::real[]::face_embedding) < 1e-6 FROM face")) {
			s.setArray(1, conn.createArrayOf("float4", boxed));
			try (ResultSet r = s.executeQuery()) {
				check(r.next() && r.getBoolean(1), "an array as a probe");
			}
		}
		try (PreparedStatement s = conn.prepareStatement("INSERT INTO face (embedding) VALUES (?)")) {
			s.setArray(1, conn.createArrayOf("float4", boxed));
			check(s.executeUpdate() == 1, "an array as a column's value");
		}
	}

	static void refuse(Connection conn) throws SQLException {
		try {
			insert(conn, "INSERT INTO face (embedding) VALUES (?)", new Template(new float[] {0.123456f, Float.NaN, 1, 1, 1}, TAG));
			throw new AssertionError("NaN was accepted");
		} catch (SQLException e) {
			check(e.getSQLState().startsWith("22"), "SQLSTATE " + e.getSQLState());
			check(!e.toString().contains("0.123"), "a component in the message");
		}
	}

	public static void main(String[] args) throws Exception {
		Properties p = new Properties();

		p.setProperty("user", "postgres");
		/* behind a pooler that gives every transaction another connection, nothing may be prepared on one */
		if (System.getenv("POOLED") != null)
			p.setProperty("prepareThreshold", "0");
		try (Connection conn = DriverManager.getConnection("jdbc:postgresql://127.0.0.1:" + args[0] + "/" + args[1], p);
			 Statement s = conn.createStatement()) {
			s.execute("CREATE TABLE face (id bigint GENERATED ALWAYS AS IDENTITY, embedding face_embedding(" + VALUES.length + ", " + TAG + "))");
			conn.unwrap(PGConnection.class).addDataType("face_embedding", Template.class);
			insert(conn, "INSERT INTO face (embedding) VALUES (?)", new Template(VALUES, TAG));
			insert(conn, "INSERT INTO face (embedding) VALUES (?::face_embedding)", new Template(VALUES, TAG).getValue());
			/* untagged: the column gives its own tag */
			insert(conn, "INSERT INTO face (embedding) VALUES (?)", new Template(VALUES, (short) 0));
			copy(conn);
			arrays(conn);
			readAll(conn, 5);
			refuse(conn);
		}
		System.out.println("ok");
	}
}

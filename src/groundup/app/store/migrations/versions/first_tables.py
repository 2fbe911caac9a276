"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def _of_user() -> sa.Column[str]:
    return sa.Column(
        "user_id", sa.Text, sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False
    )


def upgrade() -> None:
    op.create_table(
        "schema_history",
        sa.Column("revision", sa.String, primary_key=True),
        sa.Column("groundup", sa.String, nullable=False),
        sa.Column("applied", sa.Double, nullable=False),
    )
    op.create_table(
        "users",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False, unique=True),
        sa.Column("password_hash", sa.Text),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.CheckConstraint("role IN ('admin', 'member')", name="role"),
    )
    op.create_table(
        "sessions",
        sa.Column("token_hash", sa.Text, primary_key=True),
        _of_user(),
        sa.Column("agent", sa.Text, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("expires", sa.Double, nullable=False),
    )
    op.create_index("sessions_of_user", "sessions", ["user_id"])
    op.create_table(
        "folders",
        sa.Column("id", sa.Text, primary_key=True),
        _of_user(),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
    )
    op.create_index("folders_of_user", "folders", ["user_id"])
    op.create_table(
        "conversations",
        sa.Column("id", sa.Text, primary_key=True),
        _of_user(),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("folder_id", sa.Text, sa.ForeignKey("folders.id", ondelete="SET NULL")),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("system", sa.Text, nullable=False),
        sa.Column("sampling", sa.Text, nullable=False),
        sa.Column("head_id", sa.Text),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("updated", sa.Double, nullable=False),
    )
    op.create_index("conversations_of_user", "conversations", ["user_id", "updated"])
    op.create_index("conversations_of_folder", "conversations", ["folder_id"])
    op.create_table(
        "messages",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column(
            "conversation_id",
            sa.Text,
            sa.ForeignKey("conversations.id", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column(
            "parent_id",
            sa.Text,
            sa.ForeignKey("messages.id", deferrable=True, initially="DEFERRED"),
        ),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("tokens", sa.Integer),
        sa.Column("seconds", sa.Double),
        sa.Column("parts", sa.Text, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.CheckConstraint("role IN ('system', 'user', 'assistant', 'tool')", name="message_role"),
        sa.CheckConstraint("state IN ('streaming', 'complete', 'stopped', 'failed')", name="state"),
    )
    op.create_index("messages_of_conversation", "messages", ["conversation_id", "created"])
    op.create_index("messages_of_parent", "messages", ["parent_id"])
    op.create_table(
        "ratings",
        sa.Column(
            "message_id", sa.Text, sa.ForeignKey("messages.id", ondelete="CASCADE"), nullable=False
        ),
        _of_user(),
        sa.Column("value", sa.Integer, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("message_id", "user_id"),
        sa.CheckConstraint("value IN (-1, 1)", name="rating"),
    )
    op.create_index("ratings_of_user", "ratings", ["user_id"])
    op.create_table(
        "settings",
        _of_user(),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("user_id", "key"),
    )
    op.create_table(
        "server_settings",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
